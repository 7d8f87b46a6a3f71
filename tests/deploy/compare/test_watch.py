from __future__ import annotations

from pathlib import Path

import pytest

from deploy.lab.compare.history import Eviction
from deploy.lab.compare.watch import Account, Eye, Said, Verdict, balancer_said, haproxy_said, nginx_said, steps
from services.common.settings import Address

SERVERS = {"ui1": Address("127.0.70.1", 9001), "ui2": Address("127.0.70.2", 9001)}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("Z warning  balancer: upstream temporarily disabled  upstream=ui peer=a:1", ("a:1", Verdict.DISABLED)),
        ('Z warning  balancer: health changed  upstream=ui peer=a:1 verdict=unhealthy reason="x"', ("a:1", Verdict.DOWN)),
        ("Z warning  balancer: health changed  upstream=ui peer=a:1 verdict=healthy reason=passed", ("a:1", Verdict.UP)),
        ('Z warning  balancer: upstream failed  upstream=ui peer=a:1 reason="read timed out"', None),
    ],
)
def test_our_balancer_says_what_it_thinks_of_a_server(line: str, said: Said | None) -> None:
    assert balancer_said(line) == said


def test_nginx_names_the_server_that_it_disables() -> None:
    failed = '2026/11/22 19:00:01 [error] 7#7: *1 connect() failed, upstream: "http://a:1/page", host: "ui"'
    disabled = '2026/11/22 19:00:01 [warn] 7#7: *1 upstream server temporarily disabled, upstream: "http://b:1/page"'
    longer = '[warn] 7#7: *2 upstream server temporarily disabled while connecting, upstream: "http://b:1/page", host: "ui"'

    assert nginx_said(failed) is None
    assert nginx_said(disabled.replace("disabled,", "disabled while reading,")) == ("b:1", Verdict.DISABLED)
    assert nginx_said(longer) == ("b:1", Verdict.DISABLED)


def test_haproxy_says_when_a_server_is_down_and_up() -> None:
    assert haproxy_said('[WARNING]  (7) : Server ui/ui1 is DOWN, reason: Layer7 timeout') == ("ui1", Verdict.DOWN)
    assert haproxy_said("[WARNING]  (7) : Server ui/ui1 is UP, reason: Layer7 check passed") == ("ui1", Verdict.UP)
    assert haproxy_said("[NOTICE]   (7) : haproxy version is 2.6.12") is None


def test_a_disabled_server_is_out_until_fail_timeout_whole_seconds_have_passed() -> None:
    account = Account(fail_timeout_s=2)
    account.take("ui1", Verdict.DISABLED, 100.9)

    assert account.out(102.99) == {"ui1"} and account.out(103.0) == set()


def test_a_server_is_out_while_either_kind_of_check_says_so() -> None:
    account = Account(fail_timeout_s=2)
    account.take("ui1", Verdict.DISABLED, 100.0)
    account.take("ui1", Verdict.DOWN, 101.0)

    assert account.out(200.0) == {"ui1"}
    account.take("ui1", Verdict.UP, 201.0)
    assert account.out(201.0) == set()


def test_a_line_of_the_log_counts_once_it_is_complete(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("Server ui/ui1 is DOWN, reason: x\nServer ui/ui2 is DO")
    eye = Eye("haproxy", log, SERVERS, fail_timeout_s=2)

    assert eye.look() == {"ui1"}
    with log.open("a") as file:
        file.write("WN, reason: y\n")
    assert eye.look() == {"ui1", "ui2"}


def test_a_step_is_what_differs_between_two_looks() -> None:
    assert steps({"ui1"}, {"ui2"}, 3.0) == [Eviction(3.0, "ui1", False), Eviction(3.0, "ui2", True)]
    assert steps({"ui1"}, {"ui1"}, 3.0) == []
