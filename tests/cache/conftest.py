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


@contextmanager
def memcached() -> Iterator[int]:
    """A process of Debian's memcached, once it listens; gives its port."""
    program = real_part("memcached", package="memcached")
    port = free_port()
    with running([program, "-u", "nobody", "-l", "127.0.0.1", "-p", str(port), "-U", "0"], port):
        yield port


KINDS = ["cache-lite", "memcached"]


@contextmanager
def server(kind: str, folder: Path) -> Iterator[int]:
    with cache_lite(folder) if kind == "cache-lite" else memcached() as port:
        yield port


@pytest.fixture(scope="module", params=KINDS)
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with server(request.param, tmp_path_factory.mktemp("cache")) as port:
        yield port


@pytest.fixture
def raw(port: int) -> Iterator[RawClient]:
    """A raw connection to a flushed server."""
    with RawClient(port) as client:
        assert client.say(b"flush_all\r\n") == b"OK\r\n"
        yield client
