"""A closed-loop HTTP load: as many connections as asked for, each with one request in flight.

Run as ``python -m tests.benchmarks.balancer_load PORT PATH CONNECTIONS REQUESTS [--distinct]``; prints one JSON line with
the number of answers, the seconds they took, and latency percentiles in milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import time
from typing import cast

import uvloop


class Load:
    """Shared counters of all connections."""

    def __init__(self, path: str, requests: int, distinct: bool) -> None:
        self.path = path
        self.left = requests
        self.distinct = distinct
        self.done = asyncio.Event()
        self.latencies: list[float] = []
        self.errors = 0
        self.wanted = requests

    def next_request(self) -> bytes | None:
        if self.left <= 0:
            return None
        self.left -= 1
        path = f"{self.path}/{self.left}?n={self.left}" if self.distinct else self.path
        return (
            f"GET {path} HTTP/1.1\r\nHost: bench.example.org\r\nUser-Agent: load/1.0\r\nAccept: text/html,*/*\r\n"
            "Accept-Language: en\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n\r\n"
        ).encode()

    def answered(self, seconds: float, *, ok: bool) -> None:
        self.latencies.append(seconds)
        self.errors += not ok
        if len(self.latencies) >= self.wanted:
            self.done.set()


class Connection(asyncio.Protocol):
    """One connection: counts the bytes of each answer by its Content-Length."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._left = 0
        self._ok = True
        self._started = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def _send(self) -> None:
        request = self._load.next_request()
        if request is not None:
            self._started = time.perf_counter()
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        if not self._left:
            end = data.find(b"\r\n\r\n")
            at = data[:end].lower().find(b"content-length: ") + 16
            length = int(data[at : data.find(b"\r\n", at)])
            self._ok = data[9:12] == b"200"
            self._left = length + end + 4
        self._left -= len(data)
        if not self._left:
            self._load.answered(time.perf_counter() - self._started, ok=self._ok)
            self._send()


async def run(arguments: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    load = Load(arguments.path, arguments.requests, arguments.distinct)
    context = ssl._create_unverified_context() if arguments.tls else None
    started = time.perf_counter()
    pairs = [
        await loop.create_connection(lambda: Connection(load), "127.0.0.1", arguments.port, ssl=context)
        for _ in range(arguments.connections)
    ]
    async with asyncio.timeout(120):
        await load.done.wait()
    elapsed = time.perf_counter() - started
    for transport, _ in pairs:
        transport.abort()
    ordered = sorted(load.latencies)
    print(json.dumps({
        "answers": len(ordered), "errors": load.errors, "seconds": elapsed,
        "p50_ms": ordered[len(ordered) // 2] * 1000, "p99_ms": ordered[len(ordered) * 99 // 100] * 1000,
    }))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("connections", type=int)
    parser.add_argument("requests", type=int)
    parser.add_argument("--distinct", action="store_true", help="every path and query is different")
    parser.add_argument("--tls", action="store_true")
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
