"""A closed-loop load of POST requests: as many connections as asked for, each with one request in flight.

Run as a process of its own, so that what it costs is not what is measured: it reads one JSON `Plan` from stdin and
writes one JSON `Result` to stdout.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import cast

import msgspec
import uvloop

from tests.support.oned import ROOT


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Connection `n` goes to `ports[n % len(ports)]` and sends `bodies[n % len(bodies)]`, COUNT in it replaced by a number
    that grows. `good`: what every good answer contains. `pause_s`: between an answer and the next request. It ends after
    `seconds`, or after `requests` where there are not endlessly many.
    """

    ports: Sequence[int]
    path: str
    content_type: str
    bodies: Sequence[str]
    good: str
    connections: int
    seconds: float
    pause_s: float = 0.0
    requests: int = 0


class Result(msgspec.Struct, frozen=True):
    """`latencies_s` of good answers only."""

    seconds: float
    latencies_s: list[float]
    failures: int
    first_failure: str

    @property
    def per_s(self) -> float:
        return len(self.latencies_s) / self.seconds


class _Run:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.good = plan.good.encode()
        self.latencies: list[float] = []
        self.failures = 0
        self.first_failure = ""
        self.sent = 0
        self.until = time.perf_counter() + plan.seconds

    def is_over(self, now_s: float) -> bool:
        return now_s > self.until or 0 < self.plan.requests <= self.sent

    def failed(self, why: str) -> None:
        self.failures += 1
        self.first_failure = self.first_failure or why


class _Connection(asyncio.Protocol):
    def __init__(self, run: _Run, number: int) -> None:
        self._run = run
        self._body = run.plan.bodies[number % len(run.plan.bodies)]
        self._received = bytearray()
        self._sent_at = 0.0
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def _send(self) -> None:
        run = self._run
        self._sent_at = time.perf_counter()
        if run.is_over(self._sent_at):
            self._transport.close()
            return
        run.sent += 1
        body = self._body.replace("COUNT", str(run.sent)).encode()
        self._transport.write(
            f"POST {run.plan.path} HTTP/1.1\r\nHost: bench\r\nContent-Type: {run.plan.content_type}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )

    def data_received(self, data: bytes) -> None:
        self._received += data
        head_end = self._received.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = bytes(self._received[:head_end]).lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(self._received) - head_end - 4 < length:
            return
        self._answered(bytes(self._received))
        self._received.clear()
        if self._run.plan.pause_s:
            asyncio.get_running_loop().call_later(self._run.plan.pause_s, self._send)
        else:
            self._send()

    def _answered(self, answer: bytes) -> None:
        if self._run.good in answer:
            self._run.latencies.append(time.perf_counter() - self._sent_at)
        else:
            self._run.failed(answer.decode(errors="replace")[-400:])

    def connection_lost(self, error: Exception | None) -> None:
        if not self._run.is_over(time.perf_counter()):
            self._run.failed(f"connection lost: {error}")
        self.ended.set_result(None)


async def _drive(plan: Plan) -> Result:
    loop = asyncio.get_running_loop()
    run = _Run(plan)
    began = time.perf_counter()
    connections = []
    for number in range(plan.connections):
        port = plan.ports[number % len(plan.ports)]
        _, connection = await loop.create_connection(partial(_Connection, run, number), "127.0.0.1", port)
        connections.append(connection)
    async with asyncio.timeout(plan.seconds + 60):
        await asyncio.gather(*(each.ended for each in connections))
    return Result(time.perf_counter() - began, run.latencies, run.failures, run.first_failure)


def start(plan: Plan) -> subprocess.Popen[bytes]:
    """A load that runs while we do something else; `finish` gives what came of it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.load"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(plan))
    process.stdin.close()
    return process


def finish(process: subprocess.Popen[bytes]) -> Result:
    assert process.stdout is not None
    with process.stdout:
        result = msgspec.json.decode(process.stdout.read(), type=Result)
    assert process.wait() == 0
    return result


if __name__ == "__main__":
    result = uvloop.run(_drive(msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)))
    sys.stdout.buffer.write(msgspec.json.encode(result))
