"""The whole lab through its command line, on the real services."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
import xmlrpc.client
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.onelite import PROGRAM, attempt, complaint, onelite
from tests.support.ports import free_port

pytestmark = [pytest.mark.xdist_group("lab"), pytest.mark.timeout(180)]

NETWORK = f"127.{64 + os.getpid() % 128}.251"
ROW = re.compile(r"^ *(\d+) (\S+) +(\S+) +(\S+) +(\S+) +(\S+) +(\S+) +(\S+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a running lab with three frontends."""
    folder = tmp_path_factory.mktemp("lab") / "lab"
    try:
        onelite("up", "--detach", "--network", NETWORK, folder=folder)
        yield folder
    finally:
        attempt("kill", "frontend1", "frontend2", "frontend3", "balancer", "cache", folder=folder)


@pytest.fixture
def lab(folder: Path) -> Path:
    """The same lab with everything running."""
    onelite("up", "--detach", folder=folder)
    return folder


def status(folder: Path) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(onelite("status", "--json", folder=folder))
    return answer


def states(folder: Path) -> dict[str, str]:
    """What `zone` says each frontend is: leader, follower, error, …"""
    return {row[1]: row[2] for row in ROW.findall(onelite("zone", folder=folder))}


def eventually(condition: Callable[[], bool], within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.1)


def ask(folder: Path, method: str, *arguments: object, frontend: int = 0) -> list[Any]:
    """The daemon's whole answer, success or failure."""
    now = status(folder)
    with xmlrpc.client.ServerProxy(now["frontends"][frontend]["oned"]) as server:
        answer: Any = getattr(server, method)(f"{now['user']}:{now['password']}", *arguments)
    assert isinstance(answer, list)
    return answer


def call(folder: Path, method: str, *arguments: object, frontend: int = 0) -> Any:
    """The result of a call that must succeed."""
    answer = ask(folder, method, *arguments, frontend=frontend)
    assert answer[0] is True, answer
    return answer[1]


def test_the_status_is_what_programs_rely_on(lab: Path) -> None:
    now = status(lab)
    assert [each["name"] for each in now["frontends"]] == ["frontend1", "frontend2", "frontend3"]
    assert now["frontends"][0]["oned"] == f"http://{NETWORK}.21:2633/RPC2"
    assert now["frontends"][2]["sunstone"] == f"http://{NETWORK}.23:9869"
    assert now["balancer"]["url"] == f"http://{NETWORK}.1:8080"
    assert now["cache"]["address"] == f"{NETWORK}.11:11211"
    assert now["datastores"] == str(lab / "datastores")
    assert (now["user"], now["password"]) == ("oneadmin", "opennebula")
    pids = [each[key] for each in now["frontends"] for key in ("oned_pid", "sunstone_pid")]
    for pid in (*pids, now["balancer"]["pid"], now["cache"]["pid"]):
        os.kill(pid, 0)


def test_the_web_ui_answers_through_the_balancer(lab: Path) -> None:
    with urllib.request.urlopen(status(lab)["balancer"]["url"], timeout=10) as page:
        assert page.status == 200 and b"<form" in page.read()


def test_the_datastores_are_on_the_shared_path(lab: Path) -> None:
    for datastore in (0, 1, 2):
        assert "<TM_MAD><![CDATA[shared]]></TM_MAD>" in call(lab, "one.datastore.info", datastore)


def test_the_zone_shows_one_leader_and_the_tables_of_onezone(lab: Path) -> None:
    eventually(lambda: sorted(states(lab).values()) == ["follower", "follower", "leader"])
    text = onelite("zone", folder=lab)
    for title in ("ZONE 0 INFORMATION", "ZONE SERVERS", "HA & FEDERATION SYNC STATUS"):
        assert title in text
    header = next(line for line in text.splitlines() if "STATE" in line and "TERM" in line)
    assert header.split() == ["ID", "NAME", "STATE", "TERM", "INDEX", "COMMIT", "VOTE", "FED_INDEX"]


def test_a_killed_leader_is_replaced_and_comes_back_as_a_follower(lab: Path) -> None:
    eventually(lambda: "leader" in states(lab).values())
    leader = next(name for name, state in states(lab).items() if state == "leader")
    number = leader.removeprefix("frontend")
    onelite("kill", f"oned{number}", folder=lab)
    assert status(lab)["frontends"][int(number) - 1]["oned_pid"] is None
    eventually(lambda: states(lab)[leader] == "error" and "leader" in states(lab).values())
    onelite("start", f"oned{number}", folder=lab)
    eventually(lambda: states(lab)[leader] == "follower")


def test_a_paused_frontend_is_seen_and_goes_on(lab: Path) -> None:
    onelite("pause", "frontend2", folder=lab)
    assert sorted(status(lab)["paused"]) == ["oned2", "sunstone2"]
    assert "is paused" in complaint("start", "oned2", folder=lab)
    onelite("resume", "frontend2", folder=lab)
    assert status(lab)["paused"] == []


def test_a_second_start_is_quick_and_finds_the_data(lab: Path) -> None:
    oid = call(lab, "one.user.allocate", "remembered", "secret", "", [])
    onelite("down", folder=lab)
    down = status(lab)
    assert [each["oned_pid"] for each in down["frontends"]] == [None] * 3 and down["cache"]["pid"] is None
    began = time.monotonic()
    onelite("up", "--detach", folder=lab)
    took_s = time.monotonic() - began
    assert "<NAME>remembered</NAME>" in call(lab, "one.user.info", oid, frontend=2)
    assert took_s < 15, "twice and more of what it may take on a machine of its own"


def test_a_demo_is_created_once(lab: Path) -> None:
    first = onelite("up", "--detach", "--demo", folder=lab)
    assert "host node1 created (ID 0)" in first and "template small created (ID 0)" in first
    assert "<NAME>small</NAME>" in call(lab, "one.template.info", 0)
    again = onelite("up", "--detach", "--demo", folder=lab)
    assert "host node1 exists already" in again and "created" not in again


def test_a_running_lab_does_not_change_its_parts(lab: Path) -> None:
    line = complaint("up", "--detach", "--checks", "both", folder=lab)
    assert "still run as it was; stop them first with: onelite down" in line


def test_stop_and_start_of_a_whole_frontend(lab: Path) -> None:
    said = onelite("stop", "frontend3", folder=lab)
    assert "oned3      stopped" in said and "sunstone3  stopped" in said
    said = onelite("start", "frontend3", folder=lab)
    assert "oned3      ready after" in said


def test_on_one_address_the_ports_differ(tmp_path: Path) -> None:
    first = free_port(20)
    said = onelite("up", "--detach", "--frontends", "1", "--ports", str(first), folder=tmp_path)
    try:
        assert "frontend1 leads" in said
        now = status(tmp_path)
        assert now["balancer"]["url"] == f"http://127.0.0.1:{first}"
        assert now["frontends"][0]["oned"] == f"http://127.0.0.1:{first + 10}/RPC2"
        assert "<NAME>oneadmin</NAME>" in call(tmp_path, "one.user.info", 0)
    finally:
        onelite("down", folder=tmp_path)


def test_in_the_foreground_deaths_are_told_and_ctrl_c_stops_everything(lab: Path) -> None:
    onelite("down", folder=lab)
    with subprocess.Popen(
        [sys.executable, str(PROGRAM), "up", "--dir", str(lab)], stdout=subprocess.PIPE, text=True
    ) as foreground:
        assert foreground.stdout
        said = []
        for line in foreground.stdout:
            said.append(line)
            if "Ctrl-C" in line:
                break
        onelite("kill", "cache", folder=lab)
        told = next(line for line in foreground.stdout if "cache" in line)
        assert "killed by SIGKILL" in told and f"start cache --dir {lab}" in told
        onelite("start", "cache", folder=lab)
        assert any("cache runs again" in line for line in foreground.stdout)
        foreground.send_signal(signal.SIGINT)
        assert "stopped; the data stays" in foreground.stdout.read()
    assert foreground.returncode == 0
    assert "log in as" in "".join(said)
    now = status(lab)
    assert [each["oned_pid"] for each in now["frontends"]] == [None] * 3 and now["balancer"]["pid"] is None
