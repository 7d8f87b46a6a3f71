"""The two servers that every conformance test runs against: ours, and Debian's memcached."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cache.raw import RawClient
from tests.support.ports import free_port
from tests.support.programs import real_part


def wait_for_port(port: int, process: subprocess.Popen[bytes], deadline_s: float = 10.0) -> None:
    deadline = time.monotonic() + deadline_s
    while time.monotonic() < deadline:
        assert process.poll() is None, f"server ended with {process.returncode} before it listened"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.01)
    raise AssertionError(f"nothing listens on port {port} after {deadline_s} s")


@contextmanager
def running(argv: list[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(argv)
    try:
        wait_for_port(port, process)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=10)


@contextmanager
def cache_lite(folder: Path, **settings: object) -> Iterator[int]:
    """A cache-lite process of its own, once it listens everywhere; gives its port."""
    port = free_port()
    lines = [f"listen: 127.0.0.1:{port}", *(f"{key}: {value}" for key, value in settings.items())]
    config = folder / "cache.yaml"
    config.write_text("\n".join(lines) + "\n")
    with running([sys.executable, "-m", "services.cache.main", "--config", str(config)], port) as process:
        if "status" in settings:
            wait_for_port(int(str(settings["status"]).rpartition(":")[2]), process)
        yield port


@pytest.fixture(scope="module", params=["cache-lite", "memcached"])
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    if request.param == "cache-lite":
        with cache_lite(tmp_path_factory.mktemp("cache")) as ours:
            yield ours
        return
    program = real_part("memcached", package="memcached")
    theirs = free_port()
    with running([program, "-u", "nobody", "-l", "127.0.0.1", "-p", str(theirs), "-U", "0"], theirs):
        yield theirs


@pytest.fixture
def raw(port: int) -> Iterator[RawClient]:
    """A raw connection to a flushed server."""
    with RawClient(port) as client:
        assert client.say(b"flush_all\r\n") == b"OK\r\n"
        yield client
