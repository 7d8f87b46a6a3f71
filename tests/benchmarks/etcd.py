"""Three etcd servers (Debian: etcd-server) to measure beside ours, for scale: the same client, by etcd's JSON gateway."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.benchmarks.load import Plan
from tests.support.ports import free_port

DEADLINE_S = 30.0


def installed() -> bool:
    return shutil.which("etcd") is not None


@contextmanager
def running(size: int = 3) -> Iterator[int]:
    """A fresh cluster with etcd's own settings; the leader's client port."""
    with tempfile.TemporaryDirectory(prefix="onelite-etcd-") as name, ExitStack() as processes:
        ports = [(free_port(), free_port()) for _ in range(size)]
        cluster = ",".join(f"e{n}=http://127.0.0.1:{peer}" for n, (_, peer) in enumerate(ports))
        for number, (client, peer) in enumerate(ports):
            processes.enter_context(_member(Path(name), number, client, peer, cluster))
        yield _leader([client for client, _ in ports])


@contextmanager
def _member(folder: Path, number: int, client: int, peer: int, cluster: str) -> Iterator[None]:
    client_url, peer_url = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    command = ["etcd", f"--name=e{number}", f"--data-dir={folder / f'e{number}'}", "--log-level=error"]
    command += [f"--listen-client-urls={client_url}", f"--advertise-client-urls={client_url}"]
    command += [f"--listen-peer-urls={peer_url}", f"--initial-advertise-peer-urls={peer_url}"]
    command += [f"--initial-cluster={cluster}"]
    with (folder / f"e{number}.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)


def _leader(ports: list[int]) -> int:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        for port in ports:
            try:
                status = _post(port, "/v3/maintenance/status")
            except OSError:
                continue
            if status.get("leader") and status["leader"] == status["header"]["member_id"]:  # type: ignore[index]
                return port
        assert time.monotonic() < deadline, "etcd has no leader"
        time.sleep(0.05)


def _post(port: int, path: str) -> dict[str, object]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=b"{}")
    with urllib.request.urlopen(request, timeout=2) as answer:
        found: dict[str, object] = json.load(answer)
        return found


def puts(port: int, connections: int, seconds: float) -> Plan:
    """A key for each client, written again and again: about as many bytes as a user's row."""
    bodies = [
        json.dumps({"key": base64.b64encode(b"bench%d" % n).decode(), "value": base64.b64encode(bytes(300)).decode()})
        for n in range(connections)
    ]
    return Plan(
        ports=[port],
        path="/v3/kv/put",
        content_type="application/json",
        bodies=bodies,
        good='"revision"',
        connections=connections,
        seconds=seconds,
    )
