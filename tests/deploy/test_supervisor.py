"""The supervisor on real processes: the built-in cache, memcached, MariaDB, and programs that misbehave."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pymysql
import pytest

from deploy.lab import parts, processes
from deploy.lab.addresses import Addresses, on_network
from deploy.lab.errors import LabError
from deploy.lab.folders import LabFolder
from deploy.lab.processes import Condition, ProcessId
from deploy.lab.readiness import Amiss, ask
from deploy.lab.supervisor import Supervisor
from deploy.lab.topology import HttpProbe, MemcachedProbe, Process
from services.common.settings import Address
from tests.deploy.conftest import Crew


@pytest.fixture
def addresses(network: str) -> Addresses:
    return on_network(network, 1)


@pytest.fixture
def cache(folder: LabFolder, addresses: Addresses) -> Process:
    return parts.builtin_cache(folder, addresses)


def python(name: str, program: str, network: str, **more: object) -> Process:
    """A process that runs a piece of Python and is never ready."""
    probe = MemcachedProbe(Address(f"{network}.99", 1))
    return Process(name=name, argv=(sys.executable, "-c", program), probe=probe, **more)  # type: ignore[arg-type]


def wait_for_word(log: Path, word: str) -> None:
    deadline = time.monotonic() + 10
    while word not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def only(supervisor: Supervisor) -> tuple[Condition, int | None]:
    (seen,) = supervisor.look_at_all()
    return seen.condition, seen.pid


async def test_a_process_starts_and_outlives_its_supervisor(crew: Crew, cache: Process) -> None:
    await crew.supervise(cache).start((cache,))
    condition, pid = only(crew.supervise(cache))
    assert condition is Condition.RUNNING and pid is not None
    assert await ask(cache.probe) is None
    assert os.getsid(pid) == pid  # a closed terminal does not reach it


async def test_starting_again_leaves_what_runs_alone(crew: Crew, cache: Process) -> None:
    supervisor = crew.supervise(cache)
    await supervisor.start((cache,))
    before = only(supervisor)
    await supervisor.start((cache,))
    assert only(supervisor) == before
    assert "runs already" in crew.reports[-1]


async def test_stop_lets_a_process_end_in_peace(crew: Crew, cache: Process) -> None:
    supervisor = crew.supervise(cache)
    await supervisor.start((cache,))
    await supervisor.stop((cache,))
    assert only(supervisor)[0] is Condition.ENDED
    assert "stopping" in crew.folder.log("cache").read_text()


async def test_kill_is_final_and_start_brings_it_back(crew: Crew, cache: Process) -> None:
    supervisor = crew.supervise(cache)
    await supervisor.start((cache,))
    first = only(supervisor)[1]
    assert supervisor.kill((cache,)) and only(supervisor)[0] is Condition.ENDED
    assert supervisor.kill((cache,)) is False and crew.reports[-1] == "cache does not run"
    await supervisor.start((cache,))
    assert only(supervisor)[0] is Condition.RUNNING and only(supervisor)[1] != first


async def test_a_paused_process_does_nothing_until_it_is_resumed(crew: Crew, cache: Process) -> None:
    supervisor = crew.supervise(cache)
    await supervisor.start((cache,))
    supervisor.pause((cache,))
    assert only(supervisor)[0] is Condition.PAUSED
    assert await ask(cache.probe) == Amiss("does not answer")
    with pytest.raises(LabError, match="cache is paused"):
        await supervisor.start((cache,))
    supervisor.resume((cache,))
    assert only(supervisor)[0] is Condition.RUNNING and await ask(cache.probe) is None


async def test_a_paused_process_can_be_stopped(crew: Crew, cache: Process) -> None:
    supervisor = crew.supervise(cache)
    await supervisor.start((cache,))
    supervisor.pause((cache,))
    await supervisor.stop((cache,))
    assert only(supervisor)[0] is Condition.ENDED


async def test_a_process_that_does_not_stop_is_killed(crew: Crew, network: str) -> None:
    deaf = (
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\ntime.sleep(60)"
    )
    process = python("deaf", deaf, network, stop_within_s=0.3)
    supervisor = crew.supervise(process)
    supervisor._spawn(process)
    wait_for_word(crew.folder.log("deaf"), "deaf")
    await supervisor.stop((process,))
    assert only(supervisor)[0] is Condition.ENDED
    assert "killed, as it did not stop" in crew.reports[-1]


def test_a_pid_that_belongs_to_somebody_else_is_left_alone(crew: Crew, cache: Process) -> None:
    supervisor = crew.supervise(cache)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        remembered = ProcessId(stranger.pid, born="another boot/42")
        crew.folder.pid_file("cache").write_bytes(msgspec.json.encode(remembered))
        assert only(supervisor)[0] is Condition.ENDED
        assert supervisor.kill((cache,)) is False
        assert processes.send(remembered, signal.SIGKILL) is False
        assert stranger.poll() is None
        stranger.communicate(b"\n")


def test_ps_tells_the_same_as_proc() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        born, state = processes._ask_ps(child.pid)
        assert born and state in "RSD"
        child.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + 5
        while processes._ask_ps(child.pid) != (born, "T"):
            assert time.monotonic() < deadline
        child.send_signal(signal.SIGCONT)
        child.communicate(b"\n")
    assert processes._ask_ps(child.pid) == ("", "")


async def test_a_taken_port_names_the_one_who_has_it_and_starts_nothing(crew: Crew, cache: Process) -> None:
    address = cache.ports[0]
    with socket.socket() as taken:
        taken.bind(address)
        taken.listen()
        with pytest.raises(LabError) as failure:
            await crew.supervise(cache).start((cache,))
    assert f"port {address.port} on {address.host}" in str(failure.value)
    assert f"(pid {os.getpid()})" in str(failure.value) and "\n" not in str(failure.value)
    assert only(crew.supervise(cache))[0] is Condition.ENDED


async def test_one_that_dies_at_its_start_takes_the_others_down_and_its_last_words_are_told(
    crew: Crew, cache: Process, network: str
) -> None:
    dying = python("dying", "import sys; sys.exit('the disk is on fire')", network)
    supervisor = crew.supervise(cache, dying)
    with pytest.raises(LabError, match="dying ended while it started: the disk is on fire"):
        await supervisor.start((cache, dying))
    assert [seen.condition for seen in supervisor.look_at_all()] == [Condition.ENDED, Condition.ENDED]


async def test_a_failed_start_spares_what_ran_before(crew: Crew, cache: Process, network: str) -> None:
    dying = python("dying", "import sys; sys.exit('no')", network)
    supervisor = crew.supervise(cache, dying)
    await supervisor.start((cache,))
    with pytest.raises(LabError):
        await supervisor.start((cache, dying))
    assert supervisor.look(cache).condition is Condition.RUNNING


async def test_a_server_that_says_it_cannot_serve_is_started_all_the_same(crew: Crew, network: str) -> None:
    sick = Process(
        name="sick",
        argv=(sys.executable, "-m", "http.server", "8080", "--bind", f"{network}.1"),
        probe=HttpProbe(Address(f"{network}.1", 8080)),
    )
    await crew.supervise(sick).start((sick,), sick_within_s=0.1)
    assert crew.reports == ["sick       runs, but /healthz answers 404"]


async def test_a_program_that_is_not_there_is_one_clear_line(crew: Crew, folder: LabFolder, network: str) -> None:
    probe = HttpProbe(Address(f"{network}.1", 1))
    ghost = Process(name="ghost", argv=("/nowhere/ghost",), probe=probe)
    with pytest.raises(LabError, match="ghost: /nowhere/ghost: No such file"):
        await crew.supervise(ghost).start((ghost,))


async def test_two_commands_do_not_start_and_stop_at_once(crew: Crew, cache: Process) -> None:
    with crew.supervise(cache).exclusively(), pytest.raises(LabError, match="another onelite command"):
        crew.supervise(cache).exclusively().__enter__()


async def test_the_real_memcached_takes_the_caches_place(crew: Crew, addresses: Addresses) -> None:
    memcached = parts.memcached(addresses)
    await crew.supervise(memcached).start((memcached,))
    assert await ask(memcached.probe) is None


def connect(folder: LabFolder, name: str) -> pymysql.Connection:  # type: ignore[type-arg]
    password = folder.database_password.read_text().strip()
    return pymysql.connect(
        unix_socket=str(folder.socket(name)), user="oneadmin", password=password, database="opennebula", autocommit=True
    )


@pytest.mark.xdist_group("mariadb")
async def test_mariadb_keeps_its_data_through_a_kill_and_is_prepared_only_once(crew: Crew, folder: LabFolder) -> None:
    mariadb = parts.mariadb(folder, 1, folder.database_password.read_text().strip())
    supervisor = crew.supervise(mariadb)
    await supervisor.start((mariadb,))
    with connect(folder, "mariadb1") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@innodb_flush_log_at_trx_commit, @@skip_networking")
        assert cursor.fetchone() == (1, 1)
        cursor.execute("CREATE TABLE kept (what TEXT)")
        cursor.execute("INSERT INTO kept VALUES ('this')")
    supervisor.kill((mariadb,))
    await supervisor.start((mariadb,))
    with connect(folder, "mariadb1") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT what FROM kept")
        assert cursor.fetchone() == ("this",)
    await supervisor.stop((mariadb,))


@pytest.mark.xdist_group("mariadb")
async def test_several_databases_are_prepared_at_once(crew: Crew, folder: LabFolder) -> None:
    databases = tuple(parts.mariadb(folder, number, "secret") for number in (1, 2, 3))
    supervisor = crew.supervise(*databases)
    await supervisor.start(databases)
    assert [seen.condition for seen in supervisor.look_at_all()] == [Condition.RUNNING] * 3


@pytest.mark.xdist_group("mariadb")
async def test_half_made_data_of_mariadb_is_made_anew(crew: Crew, folder: LabFolder) -> None:
    mariadb = parts.mariadb(folder, 1, folder.database_password.read_text().strip())
    folder.data("mariadb1").mkdir()
    folder.data("mariadb1").joinpath("ibdata1").write_text("cut off by a crash")
    await crew.supervise(mariadb).start((mariadb,))
    with connect(folder, "mariadb1") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")


@pytest.mark.xdist_group("mariadb")
async def test_mariadb_runs_in_a_folder_with_a_very_long_name(tmp_path: Path) -> None:
    folder = LabFolder(tmp_path / ("long" * 25))
    folder.create()
    crew = Crew(folder)
    mariadb = parts.mariadb(folder, 1, "secret")
    try:
        await crew.supervise(mariadb).start((mariadb,))
        assert folder.root not in folder.socket("mariadb1").parents
    finally:
        crew.end()
        folder.socket("mariadb1").unlink(missing_ok=True)
        folder.socket("mariadb1").parent.rmdir()


def test_no_secret_is_on_a_command_line_or_readable_by_others(folder: LabFolder) -> None:
    secret = folder.database_password.read_text().strip()
    mariadb = parts.mariadb(folder, 1, secret)
    assert not any(
        secret in word for word in (*mariadb.argv, *(mariadb.preparation.argv if mariadb.preparation else ()))
    )
    assert all(file.secret for file in mariadb.files if secret in file.text)
    for path in (folder.credentials, folder.ui_credentials, folder.database_password):
        assert path.stat().st_mode & 0o777 == 0o600
