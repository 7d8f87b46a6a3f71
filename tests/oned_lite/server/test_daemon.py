"""The daemon as a process: how it starts, serves, survives and ends."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from services.oned_lite.server.daemon import until_ended
from tests.support.mariadb import MariadbServer, copied_server
from tests.support.oned import ROOT, Oned, OnedZone, solo, until
from tests.support.ports import free_port


@pytest.fixture
def oned(tmp_path: Path) -> Iterator[Oned]:
    one = solo(tmp_path, "--no-scheduler").start().ready()
    yield one
    one.kill()


@pytest.fixture
def zone(tmp_path: Path) -> Iterator[OnedZone]:
    zone = OnedZone(tmp_path)
    yield zone
    zone.kill()


def names(oned: Oned) -> list[str]:
    answer = oned.call("one.templatepool.info", -2, -1, -1)
    assert answer[0] is True
    return sorted(part.split("</NAME>")[0] for part in answer[1].split("<NAME>")[1:])


def allocate(oned: Oned, name: str) -> int:
    answer = oned.call("one.template.allocate", f"NAME = {name}")
    assert answer[0] is True, answer
    return int(answer[1])


def written(oned: Oned, name: str) -> bool:
    """Tries to write it, and accepts that an attempt whose outcome was unknown had succeeded."""
    return bool(oned.call("one.template.allocate", f"NAME = {name}")[0]) or name in names(oned)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "services.oned_lite.main", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)


# ---------------------------------------------------------------------- alone
def test_it_answers_as_oned_does(oned: Oned) -> None:
    assert oned.call("one.system.version") == [True, "6.8.0", 0]
    assert oned.call("one.system.version", session="oneadmin:wrong") == [
        False,
        "[one.system.version] User couldn't be authenticated, aborting call.",
        256,
        -1,
        -1,
    ]
    with pytest.raises(xmlrpc.client.Fault) as fault:
        oned.call("one.nosuch")
    assert fault.value.faultCode == -506


def test_pages_for_probes(oned: Oned) -> None:
    health = oned.health()
    assert (health["serving"], health["role"], health["database"]) == (True, "solo", "ok")
    assert oned.leads()
    status, metrics = oned.page("/metrics")
    assert status == 200
    assert b'oned_role{role="solo"} 1.0' in metrics
    assert b'oned_loop_late_seconds_bucket{le="0.1",time="own"}' in metrics
    assert oned.page("/nothing")[0] == 404
    assert oned.page("/RPC2")[0] == 405


def test_several_calls_in_one(oned: Oned) -> None:
    with xmlrpc.client.ServerProxy(f"http://127.0.0.1:{oned.port}/RPC2") as proxy:
        calls = xmlrpc.client.MultiCall(proxy)
        calls.one.template.allocate("oneadmin:opennebula", "NAME = a")
        calls.system.methodSignature("one.template.info")
        calls.one.template.allocate("oneadmin:opennebula", "NAME = b")
        assert list(calls()) == [[True, 0, 0], [["array", "string", "int"]], [True, 1, 0]]


def test_what_was_acknowledged_survives_kill_9(oned: Oned) -> None:
    for number in range(20):
        allocate(oned, f"t{number:02}")
    oned.kill()

    oned.start().ready()

    assert names(oned) == [f"t{number:02}" for number in range(20)]
    assert allocate(oned, "next") == 20


def test_a_clean_stop_leaves_the_tables_complete(oned: Oned, tmp_path: Path) -> None:
    allocate(oned, "gold")

    code, took_s = oned.stop()

    assert (code, took_s < 5) == (0, True)
    with sqlite3.connect(tmp_path / "data" / "one.db") as database:
        found = database.execute("SELECT oid, name, uid, body FROM template_pool").fetchall()
        applied = database.execute("SELECT value FROM onelite_state WHERE name = 'applied_index'").fetchone()
    database.close()
    with sqlite3.connect(tmp_path / "data" / "log.db") as log:
        last = log.execute("SELECT max(log_index) FROM logdb").fetchone()
    log.close()
    assert found[0][:3] == (0, "gold", 0)
    assert found[0][3].startswith("<VMTEMPLATE><ID>0</ID>")
    assert int(applied[0]) == last[0]


def test_ephemeral_keeps_nothing(tmp_path: Path) -> None:
    port = free_port()
    oned = Oned(tmp_path, port, "--solo", "--listen", f"127.0.0.1:{port}", "--ephemeral").start().ready()
    try:
        allocate(oned, "gone")
        assert oned.stop()[0] == 0
        assert names(oned.start().ready()) == []
    finally:
        oned.kill()


def test_another_first_user(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text("root:with:colon\n")
    oned = solo(tmp_path, "--credentials", str(credentials)).start().ready()
    try:
        assert oned.call("one.system.version", session="root:with:colon")[0] is True
        assert oned.call("one.system.version")[0] is False
    finally:
        oned.kill()


def test_it_stops_while_clients_hang_on(oned: Oned) -> None:
    with (
        socket.create_connection(("127.0.0.1", oned.port)) as idle,
        socket.create_connection(idle.getpeername()) as half,
    ):
        half.sendall(b"POST /RPC2 HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc")
        code, took_s = oned.stop()
    assert (code, took_s < 5) == (0, True)


def test_a_body_of_a_gigabyte_and_an_xml_bomb_harm_nobody(oned: Oned) -> None:
    with socket.create_connection(("127.0.0.1", oned.port), timeout=10) as client:
        client.sendall(b"POST /RPC2 HTTP/1.1\r\nContent-Length: 1073741824\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 413 ")
    bomb = b'<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><methodCall>&b;</methodCall>'
    with socket.create_connection(("127.0.0.1", oned.port), timeout=10) as client:
        client.sendall(b"POST /RPC2 HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s" % (len(bomb), bomb))
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert b"200 OK" in answer and b"faultCode" in answer
    assert oned.call("one.system.version")[0] is True


def test_a_database_that_fails_costs_writes_and_comes_back(oned: Oned, tmp_path: Path) -> None:
    """Another program holds the log's file locked for longer than we wait."""
    allocate(oned, "before")
    somebody = sqlite3.connect(tmp_path / "data" / "log.db", isolation_level=None)
    somebody.execute("BEGIN IMMEDIATE")
    lost = oned.call("one.template.allocate", "NAME = lost")
    assert lost[0] is False

    assert names(oned)[0] == "before"
    assert oned.health()["database"] != "ok"

    somebody.close()
    until(lambda: oned.health()["database"] == "ok")
    until(lambda: written(oned, "after"))
    assert {"before", "after"} <= set(names(oned))


# ---------------------------------------------------------------------- a zone
def test_a_zone_survives_its_leader(zone: OnedZone) -> None:
    zone.start()
    follower = zone.followers()[0]
    assert allocate(follower, "first") == 0
    assert names(follower) == ["first"]

    dead = zone.leader()
    dead.kill()
    began = time.monotonic()
    until(lambda: written(follower, "second"))
    assert time.monotonic() - began < 3

    dead.start().ready()
    until(lambda: names(dead) == ["first", "second"])
    hashes = {json.dumps(one.health()["applied"]) for one in zone.servers}
    assert len(hashes) == 1


def test_a_leader_that_stops_hands_over(zone: OnedZone) -> None:
    zone.start()
    leader = zone.leader()
    follower = zone.followers()[0]

    code, took_s = leader.stop()

    assert (code, took_s < 5) == (0, True)
    allocate(follower, "handed-over")


def test_without_a_majority_writes_are_refused_at_once_and_reads_served(zone: OnedZone) -> None:
    zone.start()
    survivor, *others = zone.followers()
    allocate(survivor, "kept")
    zone.leader().kill()
    for other in others:
        other.kill()

    began = time.monotonic()
    answer = until(lambda: refused(survivor))

    assert time.monotonic() - began < 5
    assert "Cannot process request" in answer[1]
    assert names(survivor) == ["kept"]
    others[0].start()
    until(lambda: written(survivor, "again"))


def refused(oned: Oned) -> list[object] | None:
    answer = oned.call("one.template.allocate", "NAME = refused")
    return None if answer[0] else answer


def test_a_paused_leader_is_replaced_and_joins_again(zone: OnedZone) -> None:
    zone.start()
    leader = zone.leader()
    follower = zone.followers()[0]
    leader.signal(signal.SIGSTOP)
    try:
        until(lambda: follower.health().get("leader_id") not in (None, zone.servers.index(leader)))
        until(lambda: written(follower, "meanwhile"))
    finally:
        leader.signal(signal.SIGCONT)
    until(lambda: "meanwhile" in names(leader))


HUNG_CLIENTS = 1000
CALM_S = 2.0
"""Two election timeouts."""


@pytest.fixture
def many_files() -> Iterator[None]:
    """Room for the connections of hung clients."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4 * HUNG_CLIENTS)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def hung_client(port: int) -> socket.socket:
    """Says a part of a request, and no more."""
    client = socket.create_connection(("127.0.0.1", port), timeout=5)
    client.sendall(b"POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n<methodCall>")
    return client


@pytest.mark.usefixtures("many_files")
def test_a_thousand_hung_clients_delay_no_heartbeat(zone: OnedZone) -> None:
    """Were they in its way, the followers would hear nothing for an election timeout, again and again."""
    zone.start()
    leader = zone.leader()
    follower, other = zone.followers()

    def calm() -> bool:
        began, term = time.monotonic(), follower.health()["term"]
        while time.monotonic() - began < CALM_S:
            if not written(follower, f"calm{time.monotonic_ns()}") or other.health()["term"] != term:
                return False
        return True

    with ExitStack() as clients:
        for _ in range(HUNG_CLIENTS):
            clients.enter_context(hung_client(leader.port))
        until(calm)


def test_a_zone_on_mariadb_survives_its_leaders_database(tmp_path: Path, mariadb_folder: Path) -> None:
    servers: list[MariadbServer] = []
    for number in range(3):
        servers.append(copied_server(mariadb_folder, f"zone{number}-{os.getpid()}"))
        servers[-1].start()
    zone = OnedZone(
        tmp_path, databases=lambda number: {"kind": "mariadb", "user": "root", "socket": str(servers[number].socket)}
    )
    try:
        zone.start()
        leader, follower = zone.leader(), zone.followers()[0]
        allocate(follower, "first")
        servers[zone.servers.index(leader)].kill()

        until(lambda: written(follower, "second"))
        assert zone.leader() is not leader
        assert "first" in names(leader)

        servers[zone.servers.index(leader)].start()
        until(lambda: leader.health()["database"] == "ok")
        assert "first" in names(leader), "reads went back in time"
        until(lambda: names(leader) == ["first", "second"])
    finally:
        zone.kill()
        for server in servers:
            server.kill()


# ---------------------------------------------------------------------- the command line
def test_a_port_that_is_taken_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("--solo", "--listen", f"127.0.0.1:{port}", "--data", str(tmp_path / "d"))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert f"127.0.0.1:{port}" in done.stderr and "in use" in done.stderr


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("--solo", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "file" / "data"))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert str(tmp_path / "file" / "data") in done.stderr


def test_a_folder_serves_one_daemon_only(oned: Oned, tmp_path: Path) -> None:
    done = run("--solo", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"))
    assert done.returncode == 1
    assert "in use by another oned-lite" in done.stderr


def test_check_names_every_problem(tmp_path: Path) -> None:
    path = tmp_path / "oned.yaml"
    path.write_text("listen: nowhere\ndata: d\ndatabase: {kind: oracle}\nschedulr: true\n")
    done = run("--config", str(path), "--check")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"{path}:1", f"{path}:3", f"{path}:4"]


def test_solo_needs_a_folder_or_none(tmp_path: Path) -> None:
    done = run("--solo", "--listen", "127.0.0.1:0")
    assert done.returncode == 2
    assert "--data" in done.stderr


def test_help_teaches() -> None:
    done = run("--help")
    assert done.returncode == 0
    for word in ("--solo", "oned_conf", "server_id", "credentials", "/healthz", "mariadb"):
        assert word in done.stdout


def test_a_full_disk_under_its_log_costs_lines_only(tmp_path: Path) -> None:
    one = solo(tmp_path)
    try:
        one.start(log=Path("/dev/full")).ready()
        allocate(one, "written")
        one.signal(signal.SIGTERM)
        assert one.process is not None
        one.process.wait(timeout=15)
    finally:
        one.kill()


async def test_a_part_that_fails_ends_the_server() -> None:
    """A server without its links would look well, and hear nobody."""

    async def for_ever() -> None:
        await asyncio.get_running_loop().create_future()

    async def failing() -> None:
        raise RuntimeError("a mistake")

    async with asyncio.timeout(5):
        node, links = asyncio.create_task(for_ever()), asyncio.create_task(failing())
        with pytest.raises(RuntimeError, match="a mistake"):
            await until_ended(node, [node, links])
        node.cancel()
        done, hooks = asyncio.create_task(asyncio.sleep(0)), asyncio.create_task(for_ever())
        await until_ended(done, [done, hooks])
        hooks.cancel()


def test_an_ephemeral_daemon_leaves_nothing_behind(tmp_path: Path) -> None:
    port, folder = free_port(), tmp_path / "tmp"
    folder.mkdir()
    command = [
        sys.executable,
        "-m",
        "services.oned_lite.main",
        "--solo",
        "--ephemeral",
        "--listen",
        f"127.0.0.1:{port}",
    ]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, env={**os.environ, "TMPDIR": str(folder)})
    oned = Oned(tmp_path, port)
    oned.process = process
    oned.ready()
    allocate(oned, "gold")

    code, _ = oned.stop()

    assert code == 0
    assert list(folder.iterdir()) == []


def test_alone_it_is_small(oned: Oned) -> None:
    assert oned.process is not None
    status = Path(f"/proc/{oned.process.pid}/status").read_text()
    rss_kb = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    assert rss_kb < 80 * 1024


def test_nothing_is_imported_that_a_daemon_alone_has_no_use_for() -> None:
    """Each of these takes a good part of the half second in which it is to be ready."""
    script = "import sys, services.oned_lite.main, services.oned_lite.server.daemon; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(result.stdout.split())
    needless = {
        "aiohttp",
        "aiomysql",
        "babel",
        "http.client",
        "jinja2",
        "prometheus_client",
        "pymysql",
        "urllib.request",
    }
    assert not loaded & needless
    assert "services.oned_lite.server.control.endpoint" not in loaded
