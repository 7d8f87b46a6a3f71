"""The shell: what no client may do to the others."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.cache.conftest import cache_lite, running
from tests.cache.raw import RawClient
from tests.support.ports import free_port


def test_connections_beyond_the_bound_are_told_and_closed(tmp_path: Path) -> None:
    with cache_lite(tmp_path, connections=2) as port, RawClient(port) as first, RawClient(port) as second:
        assert first.say(b"verbosity 1\r\n") == second.say(b"verbosity 1\r\n") == b"OK\r\n"
        with RawClient(port) as third:
            assert third.read_to_end() == b"SERVER_ERROR too many open connections\r\n"
        assert b"STAT rejected_connections 1\r\n" in first.say(b"stats\r\n")


def test_an_idle_client_is_let_go_and_a_busy_one_kept(tmp_path: Path) -> None:
    with cache_lite(tmp_path, idle_timeout_s=1.5) as port, RawClient(port) as idle, RawClient(port) as busy:
        deadline = time.monotonic() + 10
        idle.set_timeout(0.2)
        while not idle.is_closed():
            assert busy.say(b"verbosity 1\r\n") == b"OK\r\n"
            assert time.monotonic() < deadline


def test_a_client_that_stops_in_mid_command_is_let_go(tmp_path: Path) -> None:
    with cache_lite(tmp_path, stall_timeout_s=1) as port, RawClient(port) as client:
        client.send(b"set a 0 0 100\r\nhalf")
        assert client.is_closed()


def test_a_client_that_does_not_read_costs_no_memory_and_harms_nobody(tmp_path: Path) -> None:
    with cache_lite(tmp_path, stall_timeout_s=60) as port, RawClient(port) as greedy, RawClient(port) as other:
        value = b"x" * 1_000_000
        assert other.say(b"set a 0 0 1000000\r\n" + value + b"\r\n") == b"STORED\r\n"
        greedy.send(b"get" + b" a" * 1000 + b"\r\n")
        pid = int(other.say(b"stats\r\n").split()[2])
        assert resident_mb(pid) < 150
        assert other.say(b"verbosity 1\r\n") == b"OK\r\n"
        assert greedy.count_to_end(b"quit\r\n") == 1000 * len(b"VALUE a 0 1000000\r\n\r\n" + value) + len(b"END\r\n")


def test_a_client_that_has_finished_sending_still_gets_its_answers(tmp_path: Path) -> None:
    with cache_lite(tmp_path) as port, RawClient(port) as client:
        value = b"x" * 1_000_000
        client.send(b"set a 0 0 1000000\r\n" + value + b"\r\n" + b"get a a a a a\r\n")
        client.finish_sending()
        answer = client.read_to_end()
        assert answer.count(b"VALUE") == 5 and answer.endswith(b"END\r\n")


def test_memory_stays_in_its_bound_whatever_is_stored(tmp_path: Path) -> None:
    with cache_lite(tmp_path, memory_mb=4) as port, RawClient(port) as client:
        for number in range(200):
            client.send(b"set key%d 0 0 100000 noreply\r\n%s\r\n" % (number, b"x" * 100_000))
        stats = client.say(b"stats\r\n")
        held = int(stats.split(b"STAT bytes ")[1].split()[0])
        assert 3_800_000 < held <= 4 * 1024 * 1024
        assert client.say(b"get key0\r\n") == b"END\r\n"
        assert client.say(b"get key199\r\n").startswith(b"VALUE key199 ")


def test_health_and_metrics_are_served_over_http(tmp_path: Path) -> None:
    status = free_port()
    with cache_lite(tmp_path, status=f"127.0.0.1:{status}") as port, RawClient(port) as client:
        client.say(b"set a 0 0 1\r\n1\r\nget a\r\n")
        with urllib.request.urlopen(f"http://127.0.0.1:{status}/healthz", timeout=5) as answer:
            assert answer.status == 200 and b"ok" in answer.read()
        with urllib.request.urlopen(f"http://127.0.0.1:{status}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    assert "cache_get_hits_total 1.0" in text and "cache_items 1.0" in text


def test_half_a_request_on_the_status_port_is_not_waited_for(tmp_path: Path) -> None:
    status = free_port()
    with (
        cache_lite(tmp_path, status=f"127.0.0.1:{status}"),
        socket.create_connection(("127.0.0.1", status), timeout=15) as slow,
    ):
        slow.sendall(b"GET /healthz HTTP/1.1\r\n")
        assert slow.recv(100) == b""


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_at_once_although_clients_are_connected(tmp_path: Path, sent: signal.Signals) -> None:
    port = free_port()
    config = tmp_path / "cache.yaml"
    config.write_text(f"listen: 127.0.0.1:{port}\n")
    argv = [sys.executable, "-m", "services.cache.main", "--config", str(config)]
    with running(argv, port) as process, RawClient(port) as client:
        client.send(b"set a 0 0 10\r\n")
        process.send_signal(sent)
        assert process.wait(timeout=5) == 0


def cache_main(*argv: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "services.cache.main", *argv]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


def test_check_lists_every_problem_of_a_settings_file(tmp_path: Path) -> None:
    config = tmp_path / "cache.yaml"
    config.write_text("listen: here\nmemory_mb: 1\ncolour: blue\n")
    result = cache_main("--config", str(config), "--check")
    assert result.returncode == 1
    for word in ("cache.yaml:1", "listen", "memory_mb", "colour"):
        assert word in result.stderr


def test_check_is_content_with_a_good_file(tmp_path: Path) -> None:
    config = tmp_path / "cache.yaml"
    config.write_text("listen: 127.0.0.1:11211\n")
    assert cache_main("--config", str(config), "--check").returncode == 0


def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    config = tmp_path / "cache.yaml"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config.write_text(f"listen: 127.0.0.1:{taken.getsockname()[1]}\n")
        result = cache_main("--config", str(config))
    assert result.returncode == 1
    assert "Traceback" not in result.stderr and str(taken) not in result.stderr
    assert "in use" in result.stderr


def resident_mb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) // 1024
