"""How fast one server with many VMs answers reads. Run by hand: `python -m tests.benchmarks.reads --help`.

The client is plain sockets with keep-alive and prepared bodies, so that it takes little of the time that it measures;
on a loaded machine the server's own CPU seconds, shown beside, say more than the wall clock.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import sys
import tempfile
import threading
import time
import xmlrpc.client
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.oned import SESSION, Oned, solo

POOL_BOUND_MS = 150.0
INFO_BOUND_PER_S = 3000.0
BATCH = 50

NETWORK = (
    "NAME = bench\nVN_MAD = bridge\nBRIDGE = br0\nAR = [ TYPE = IP4, IP = 10.0.0.1, SIZE = 65000 ]\n"
    "NETWORK_ADDRESS = 10.0.0.0\nGATEWAY = 10.0.0.1\nDNS = 10.0.0.1"
)
VM = (
    'NAME = "bench-{number}"\nCPU = 0.01\nVCPU = 1\nMEMORY = 16\n'
    "DISK = [ TYPE = fs, SIZE = 64, FORMAT = raw ]\nDISK = [ TYPE = swap, SIZE = 16 ]\n"
    "NIC = [ NETWORK_ID = 0 ]\nGRAPHICS = [ TYPE = VNC, LISTEN = 0.0.0.0 ]\n"
    'CONTEXT = [ NETWORK = "YES", SSH_PUBLIC_KEY = "$USER[SSH_PUBLIC_KEY]" ]\n'
    'LABELS = "web,bench"\nOWNER_NOTE = "rack {number}"'
)


@dataclass(frozen=True, slots=True)
class Measured:
    """`wall_s` of one request after the other; `server_s` is what the server's process spent on all of them."""

    wall_s: tuple[float, ...]
    server_s: float
    answer_bytes: int


class Connection:
    """One keep-alive connection."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(1 << 20)

    def close(self) -> None:
        self._socket.close()

    def ask(self, request: bytes) -> int:
        """Sends a prepared request; the size of the answer's body."""
        self._socket.sendall(request)
        view = memoryview(self._buffer)
        got = 0
        while (end := self._buffer.find(b"\r\n\r\n", 0, got)) < 0:
            got += self._read(view[got:])
        head = bytes(self._buffer[:end])
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        left = length - (got - end - 4)
        while left > 0:
            left -= self._read(view)
        return length

    def _read(self, into: memoryview) -> int:
        count = self._socket.recv_into(into)
        if not count:
            raise ConnectionError("the server closed the connection")
        return count


def prepared(method: str, *arguments: object, session: str = SESSION) -> bytes:
    """A whole HTTP request."""
    body = xmlrpc.client.dumps((session, *arguments), method).encode()
    return b"POST /RPC2 HTTP/1.1\r\nHost: bench\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )


def cpu_s(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(oned: Oned, requests: Sequence[bytes], connections: int = 1) -> Measured:
    """Asks all `requests`, shared out over threads with a connection each."""
    assert oned.process is not None
    walls: list[float] = []
    sizes: list[int] = []

    def work(share: Sequence[bytes]) -> None:
        connection = Connection(oned.port)
        for request in share:
            began = time.perf_counter()
            sizes.append(connection.ask(request))
            walls.append(time.perf_counter() - began)
        connection.close()

    before = cpu_s(oned.process.pid)
    threads = [threading.Thread(target=work, args=(requests[first::connections],)) for first in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Measured(tuple(walls), cpu_s(oned.process.pid) - before, sum(sizes) // len(sizes))


def fill(oned: Oned, vms: int) -> None:
    """`vms` VMs with disks, a lease and a context, in batches of system.multicall."""
    assert oned.call("one.vn.allocate", NETWORK, -1)[0]
    with xmlrpc.client.ServerProxy(f"http://127.0.0.1:{oned.port}/RPC2", allow_none=True) as proxy:
        for first in range(0, vms, BATCH):
            calls = [
                {"methodName": "one.vm.allocate", "params": [SESSION, VM.format(number=number), False]}
                for number in range(first, min(first + BATCH, vms))
            ]
            for result in proxy.system.multicall(calls):  # type: ignore[union-attr]
                assert isinstance(result, list) and result[0][0], result


def report(name: str, measured: Measured, wall_s: float, verdict: str) -> None:
    count = len(measured.wall_s)
    print(
        f"{name:<34} {count / wall_s:9.0f}/s  median {statistics.median(measured.wall_s) * 1000:8.2f} ms"
        f"  server CPU {measured.server_s / count * 1000:8.3f} ms each  {measured.answer_bytes:>11,} bytes  {verdict}"
    )


def run(
    oned: Oned, name: str, requests: Sequence[bytes], connections: int, good: Callable[[Measured, float], bool]
) -> bool:
    began = time.perf_counter()
    measured = measure(oned, requests, connections)
    wall_s = time.perf_counter() - began
    passed = good(measured, wall_s)
    report(name, measured, wall_s, "good" if passed else "MISSED")
    return passed


def bench(oned: Oned, vms: int, seconds: float) -> bool:
    pool = prepared("one.vmpool.info", -2, -1, -1, -1)
    cold = run(oned, "one.vmpool.info (all), first", [pool], 1, lambda *_: True)
    warm = run(
        oned, "one.vmpool.info (all)", [pool] * 15, 1, lambda m, _: statistics.median(m.wall_s) * 1000 < POOL_BOUND_MS
    )
    single = [prepared("one.vm.info", number * 7919 % vms) for number in range(int(INFO_BOUND_PER_S * seconds))]
    run(oned, "one.vm.info, first", single[:vms], 4, lambda *_: True)
    infos = run(oned, "one.vm.info", single, 4, lambda m, wall_s: len(m.wall_s) / wall_s >= INFO_BOUND_PER_S)
    run(oned, "one.vmpool.info page of 50", [prepared("one.vmpool.info", -2, 100, -50, -1)] * 500, 4, lambda *_: True)
    run(oned, "one.user.info", [prepared("one.user.info", 0)] * 3000, 4, lambda *_: True)
    return cold and warm and infos


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Speed of reads: one.vmpool.info under 150 ms, one.vm.info at 3,000/s or more.",
        epilog="example: python -m tests.benchmarks.reads --vms 10000 --seconds 5",
    )
    parser.add_argument("--vms", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=4.0, help="about how long one.vm.info is asked for")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="onelite-bench-") as name:
        oned = solo(Path(name), "--no-scheduler").start()
        try:
            oned.ready()
            began = time.perf_counter()
            fill(oned, arguments.vms)
            print(f"{arguments.vms} VMs made in {time.perf_counter() - began:.1f} s")
            return 0 if bench(oned, arguments.vms, arguments.seconds) else 1
        finally:
            oned.stop()


if __name__ == "__main__":
    sys.exit(main())
