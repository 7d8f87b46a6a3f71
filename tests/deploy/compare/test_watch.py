from __future__ import annotations

from deploy.lab.compare.history import Eviction
from deploy.lab.compare.watch import balancer_out, haproxy_out, nginx_disabled, steps
from services.common.settings import Address

SERVERS = {"ui1": Address("127.0.0.1", 9001), "ui2": Address("127.0.0.1", 9002)}


def test_our_balancer_keeps_away_from_servers_that_are_unavailable_or_unhealthy() -> None:
    peers = [("a:1", "up"), ("b:1", "unavail"), ("c:1", "unhealthy"), ("d:1", "checking")]
    listed = ", ".join(f'{{"address": "{address}", "state": "{state}", "weight": 1}}' for address, state in peers)
    answer = f'{{"pid": 1, "upstreams": {{"ui": {{"method": "x", "peers": [{listed}]}}}}}}'

    assert balancer_out(answer.encode(), {f"{name}:1": name for name in "abcd"}) == {"b", "c"}


def test_haproxy_keeps_away_from_servers_that_are_down_but_not_from_those_on_their_way() -> None:
    answer = "# pxname,svname,status,\nui,ui1,UP 1/2,\nui,ui2,DOWN,\nui,ui3,DOWN 1/2,\nui,BACKEND,DOWN,\n\n"

    assert haproxy_out(answer) == {"ui2", "ui3"}


def test_nginx_names_the_server_that_it_disables() -> None:
    log = (
        '2026/11/22 19:00:01 [error] 7#7: *1 connect() failed, upstream: "http://127.0.0.1:9001/page", host: "ui"\n'
        '2026/11/22 19:00:01 [warn] 7#7: *1 upstream server temporarily disabled, upstream: "http://127.0.0.1:9002/page"\n'
    )

    assert nginx_disabled(log, SERVERS) == ["ui2"]


def test_a_step_is_what_differs_between_two_looks() -> None:
    assert steps({"ui1"}, {"ui2"}, 3.0) == [Eviction(3.0, "ui1", False), Eviction(3.0, "ui2", True)]
    assert steps({"ui1"}, {"ui1"}, 3.0) == []
