"""The fixtures give tests of other tools a real daemon, and everything that the control endpoint can do to it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from onelite_pytest.control import ControlError, failure, normal, silence, success
from onelite_pytest.daemons import Oned, OnedCluster, Refusal

DEADLINE_S = 20.0
VM = "NAME = web\nCPU = 1\nMEMORY = 64"
BOOT_FAILURE, PROLOG_FAILURE, RUNNING, BOOT = 36, 39, 3, 2


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def lcm_state(oned: Oned, oid: int) -> int:
    return int(oned.call("one.vm.info", oid).partition("<LCM_STATE>")[2].partition("<")[0])


def deployed(oned: Oned) -> int:
    """A VM on its way to a host of its own."""
    host = oned.call("one.host.allocate", "node1", "dummy", "dummy", -1)
    oid = oned.call("one.vm.allocate", VM, True)
    oned.call("one.vm.deploy", oid, host, False, 0, "")
    return int(oid)


# ---------------------------------------------------------------------- reset and calls
@pytest.mark.parametrize("round_", [1, 2])
def test_each_test_begins_with_a_fresh_database(oned: Oned, round_: int) -> None:
    assert oned.call("one.template.allocate", "NAME = same") == 0
    assert oned.call("one.user.allocate", "ann", "pw", "core", []) == 2
    assert [one.method for one in oned.control.calls()] == ["one.template.allocate", "one.user.allocate"]


def test_a_reset_stops_driver_work_and_puts_the_clock_right(oned: Oned) -> None:
    oned.control.script(silence(), action="deploy")
    oned.control.advance(5000)
    oid = deployed(oned)
    until(lambda: lcm_state(oned, oid) == BOOT)

    oned.control.reset()

    assert oned.control.status()["ahead_s"] == 0
    oid = deployed(oned)
    until(lambda: lcm_state(oned, oid) == RUNNING)


def test_a_reset_removes_files_of_images(oned: Oned) -> None:
    def file() -> Path:
        return Path(oned.call("one.image.info", 0).partition("<SOURCE><![CDATA[")[2].partition("]")[0])

    until(lambda: "<FREE_MB>0<" not in oned.call("one.datastore.info", 1))
    oned.call("one.image.allocate", "NAME = disk\nTYPE = DATABLOCK\nSIZE = 1", 1)
    until(lambda: file().is_absolute() and file().exists())
    kept = file()

    oned.control.reset()

    assert not kept.exists()


def test_calls_received_show_who_and_what_without_secrets(oned: Oned) -> None:
    oned.call("one.user.allocate", "ann", "very-secret", "core", [])
    with pytest.raises(Refusal):
        oned.call("one.vm.info", 77)

    created, failed = oned.control.calls()

    assert (created.user, created.outcome) == ("oneadmin", "ok")
    assert "very-secret" not in json.dumps(created.arguments)
    assert created.arguments[0] == "ann"
    assert (failed.method, failed.outcome, failed.code) == ("one.vm.info", "error", 0x400)
    assert "[77]" in failed.message


# ---------------------------------------------------------------------- clock
def test_a_token_expires_when_the_clock_is_put_forward(oned: Oned) -> None:
    token = oned.call("one.user.login", "oneadmin", "", 600, -1)
    assert oned.call("one.user.info", -1, session=f"oneadmin:{token}")

    oned.control.advance(601)

    with pytest.raises(Refusal, match="authenticated"):
        oned.call("one.user.info", -1, session=f"oneadmin:{token}")


def test_a_scheduled_action_happens_when_its_time_is_brought_about(oned: Oned) -> None:
    oid = oned.call("one.vm.allocate", VM, False)
    oned.call("one.vm.schedadd", oid, f"SCHED_ACTION = [ACTION = hold, TIME = {int(time.time()) + 3600}]")

    oned.control.advance(3601)

    until(lambda: "<STATE>2</STATE>" in oned.call("one.vm.info", oid))


def test_showback_counts_the_hours_that_were_skipped(oned: Oned) -> None:
    host = oned.call("one.host.allocate", "node1", "dummy", "dummy", -1)
    oid = oned.call("one.vm.allocate", f"{VM}\nCPU_COST = 2", True)
    oned.call("one.vm.deploy", oid, host, False, 0, "")
    until(lambda: lcm_state(oned, oid) == RUNNING)

    oned.control.advance(10 * 3600)
    oned.call("one.vmpool.calculateshowback", -1, -1, -1, -1)

    showback = oned.call("one.vmpool.showback", -2, -1, -1, -1, -1)
    hours = sum(float(part.partition("<")[0]) for part in showback.split("<HOURS>")[1:])
    assert 10 <= hours < 10.5


# ---------------------------------------------------------------------- drivers
def test_drivers_come_to_the_outcomes_that_were_written_down(oned: Oned) -> None:
    oned.control.script(failure("no room"), driver="vmm/*", action="deploy", kind="vm", oid=0)
    oid = deployed(oned)
    until(lambda: lcm_state(oned, oid) == BOOT_FAILURE)
    assert "no room" in oned.call("one.vm.info", oid)

    oned.call("one.vm.recover", oid, 2)  # retry: the list is used up

    until(lambda: lcm_state(oned, oid) == RUNNING)


def test_a_cycling_list_begins_anew(oned: Oned) -> None:
    oned.control.script(failure("first"), success(), action="prolog", cycle=True)
    host = oned.call("one.host.allocate", "node1", "dummy", "dummy", -1)
    reached = []
    for name in ("a", "b", "c"):
        oid = oned.call("one.vm.allocate", f"{VM}\nNAME = {name}", True)
        oned.call("one.vm.deploy", oid, host, False, 0, "")
        until(lambda: lcm_state(oned, oid) in (PROLOG_FAILURE, RUNNING))  # noqa: B023
        reached.append(lcm_state(oned, oid))

    assert reached == [PROLOG_FAILURE, RUNNING, PROLOG_FAILURE]


def test_a_silent_driver_fails_when_the_clock_has_passed_its_deadline(oned: Oned) -> None:
    oned.control.script(silence(), action="deploy")
    oid = deployed(oned)
    until(lambda: lcm_state(oned, oid) == BOOT)

    oned.control.advance(24 * 3600)

    until(lambda: lcm_state(oned, oid) == BOOT_FAILURE)
    assert "gave no answer" in oned.call("one.vm.info", oid)


def test_a_slow_driver_is_done_when_the_clock_is_put_forward(oned: Oned) -> None:
    oned.control.script(normal(delay_s=1800), action="deploy")
    oid = deployed(oned)
    until(lambda: lcm_state(oned, oid) == BOOT)

    oned.control.advance(1800)

    until(lambda: lcm_state(oned, oid) == RUNNING)


# ---------------------------------------------------------------------- faults
def test_a_method_fails_as_often_as_was_asked_for(oned: Oned) -> None:
    oned.control.fault("one.template.*", "error", code=0x200, message="not today", times=1)

    with pytest.raises(Refusal, match=r"^\[one.template.allocate\] not today$") as refusal:
        oned.call("one.template.allocate", "NAME = a")

    assert refusal.value.code == 0x200
    assert oned.call("one.template.allocate", "NAME = a") == 0


def test_a_connection_is_reset_after_the_call_was_carried_out(oned: Oned) -> None:
    oned.control.fault("one.template.allocate", "reset", when="after", times=1)
    body = (
        "<methodCall><methodName>one.template.allocate</methodName><params>"
        f"<param><value>{oned.session}</value></param><param><value>NAME = kept</value></param></params></methodCall>"
    )
    request = f"POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n{body}"

    with socket.create_connection(("127.0.0.1", oned.port), timeout=10) as client, pytest.raises(ConnectionResetError):
        client.sendall(request.encode())
        client.recv(1000)

    assert "kept" in oned.call("one.template.info", 0)
    assert [one.outcome for one in oned.control.calls("*.allocate")] == ["cut"]


def test_a_call_that_hangs_is_not_carried_out(oned: Oned) -> None:
    oned.control.fault("one.template.allocate", "hang", times=1)
    content = f"<methodCall><methodName>one.template.allocate</methodName><params><param><value>{oned.session}</value>\
</param><param><value>NAME = never</value></param></params></methodCall>"

    with pytest.raises(TimeoutError):
        urllib.request.urlopen(urllib.request.Request(oned.endpoint, content.encode()), timeout=0.3)

    assert oned.call("one.templatepool.info", -2, -1, -1) == "<VMTEMPLATE_POOL></VMTEMPLATE_POOL>"


# ---------------------------------------------------------------------- the endpoint itself
def test_mistakes_are_explained(oned: Oned) -> None:
    with pytest.raises(ControlError, match=r"Invalid enum value 'sucess'.*outcomes"):
        oned.control.script({"result": "sucess"})
    with pytest.raises(ControlError, match="nobody to lead"):
        oned.control.step_down()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, "415"),
        ({"Content-Type": "application/json", "Host": "testbed.example:2640"}, "403"),
    ],
)
def test_a_web_page_cannot_use_it(oned: Oned, headers: dict[str, str], status: str) -> None:
    """Browsers send forms to any address without asking, though not as application/json; and they believe in names."""
    request = urllib.request.Request(f"http://127.0.0.1:{oned.control.port}/reset", b"{}", headers)

    with pytest.raises(urllib.error.HTTPError, match=status) as error:
        urllib.request.urlopen(request, timeout=5)

    error.value.close()


def test_it_is_refused_on_addresses_that_others_can_reach() -> None:
    command = [sys.executable, "-m", "services.oned_lite.main", "--solo", "--ephemeral", "--control", "0.0.0.0:0"]

    result = subprocess.run(command, capture_output=True, text=True, timeout=30)

    assert result.returncode == 2
    assert "expected an address of this machine alone" in result.stderr


# ---------------------------------------------------------------------- cluster
def test_a_cluster_replicates_and_a_leader_steps_down(oned_cluster: OnedCluster) -> None:
    first = oned_cluster.leader()
    assert first.call("one.template.allocate", "NAME = gold") == 0

    first.control.step_down()

    second = oned_cluster.leader()
    assert second is not first
    assert "gold" in second.call("one.template.info", 0)
    with pytest.raises(ControlError, match="does not lead"):
        first.control.step_down()


def test_a_cluster_is_whole_and_empty_again_after_a_test_that_killed_a_server(oned_cluster: OnedCluster) -> None:
    oned_cluster.call("one.template.allocate", "NAME = gold")
    oned_cluster.leader().kill()
    assert oned_cluster.call("one.template.allocate", "NAME = silver") in (0, 1)

    oned_cluster.start()
    oned_cluster.reset()

    for server in oned_cluster.servers:
        assert server.call("one.templatepool.info", -2, -1, -1) == "<VMTEMPLATE_POOL></VMTEMPLATE_POOL>"
