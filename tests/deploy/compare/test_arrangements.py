"""The settings that are written, read by the programs they are for."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.lab.compare.arrangements import Place, arrange, balancer, haproxy, installed, nginx
from deploy.lab.compare.plan import Checks
from services.balancer.config import read_plan
from services.balancer.settings import HealthCheck
from services.common.settings import Address
from tests.support.programs import real_part

SERVERS = {f"ui{n}": Address("127.0.0.1", 9000 + n) for n in (1, 2, 3)}
CHECKS = Checks(max_fails=4, fail_timeout_s=7, interval_s=0.5, fails=3, passes=2, probe_timeout_s=0.25)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(Address("127.0.0.1", 18080), 18081, tmp_path)


@pytest.mark.parametrize(("name", "max_fails", "checked"), [("passive", 4, False), ("active", 0, True), ("both", 4, True)])
def test_our_balancer_gets_the_checks_of_its_arrangement(name: str, max_fails: int, checked: bool, place: Place) -> None:
    file = place.folder / "balancer.yaml"
    file.write_text(balancer(name, CHECKS, SERVERS, place))
    upstream = read_plan(file).settings.upstreams["ui"]

    assert [server.address for server in upstream.servers] == [str(address) for address in SERVERS.values()]
    assert {(server.max_fails, server.fail_timeout_s) for server in upstream.servers} == {(max_fails, 7)}
    check = upstream.health_check
    assert isinstance(check, HealthCheck) is checked
    if isinstance(check, HealthCheck):
        assert (check.interval_s, check.fails, check.passes, check.timeout_s, check.port) == (0.5, 3, 2, 0.25, 18081)


def test_nginx_is_told_the_same_knobs(place: Place) -> None:
    text = nginx(CHECKS, SERVERS, place)

    assert "server 127.0.0.1:9002 max_fails=4 fail_timeout=7s;" in text
    assert "least_conn;" in text and "proxy_connect_timeout 1000ms;" in text


def test_haproxy_is_told_the_same_knobs(place: Place) -> None:
    text = haproxy(CHECKS, SERVERS, place)

    assert "server ui3 127.0.0.1:9003 check port 18081 inter 500 fall 3 rise 2" in text
    assert "timeout check 250" in text and "option httpchk GET /healthz" in text


@pytest.mark.parametrize(("name", "check"), [("nginx", "-t"), ("haproxy", "-c")])
def test_the_real_programs_accept_their_settings(name: str, check: str, place: Place) -> None:
    real_part(name, package="nginx-light" if name == "nginx" else name)
    arrangement = arrange(name, CHECKS, SERVERS, place)
    arrangement.settings.write_text(arrangement.text)

    subprocess.run([*arrangement.argv, check], check=True, capture_output=True)


def test_our_own_balancer_is_always_there(place: Place) -> None:
    assert installed("passive")
    assert shutil.which(arrange("both", CHECKS, SERVERS, place).argv[0])
