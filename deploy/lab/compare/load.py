"""Sends each request when it is due, whatever became of those before it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from deploy.lab.compare.history import Outcome, Request, outcome
from deploy.lab.compare.schedule import Arrival
from services.common.settings import Address

ANSWER_LIMIT = 1 << 16


async def send_all(
    target: Address, due: Sequence[Arrival], clock: Callable[[], float], stall_s: float, patience_s: float
) -> tuple[Request, ...]:
    """The fate of every request, in the order in which they were due."""
    async with asyncio.TaskGroup() as group:
        tasks = []
        for arrival in due:
            await asyncio.sleep(max(0.0, arrival.at_s - clock()))
            tasks.append(group.create_task(_send(target, arrival, clock, stall_s, patience_s)))
    return tuple(task.result() for task in tasks)


async def _send(
    target: Address, arrival: Arrival, clock: Callable[[], float], stall_s: float, patience_s: float
) -> Request:
    sent_s, status, server = clock(), 0, ""
    fate: Outcome | None = None
    try:
        async with asyncio.timeout(patience_s):
            status, server = read_answer(await _exchange(target, arrival.method))
    except TimeoutError:
        fate = Outcome.GAVE_UP
    except OSError:
        fate = Outcome.ERROR
    latency_s = clock() - arrival.at_s
    fate = fate or outcome(status, latency_s, stall_s)
    return Request(arrival.at_s, sent_s, latency_s, arrival.method, status, server, fate)


async def _exchange(target: Address, method: str) -> bytes:
    reader, writer = await asyncio.open_connection(*target)
    try:
        length = "Content-Length: 0\r\n" if method == "POST" else ""
        writer.write(f"{method} /page HTTP/1.1\r\nHost: ui\r\n{length}Connection: close\r\n\r\n".encode())
        answer = b""
        while len(answer) < ANSWER_LIMIT and (piece := await reader.read(ANSWER_LIMIT)):
            answer += piece
        return answer
    finally:
        writer.close()


def read_answer(answer: bytes) -> tuple[int, str]:
    """Status and X-Served-By of an HTTP answer; 0 and "" if it is none or was cut off."""
    head, end, body = answer.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    words = lines[0].split(maxsplit=2)
    if not end or len(words) < 2 or not words[1].isdigit():
        return 0, ""
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
    length = fields.get(b"content-length", b"")
    if length.isdigit() and len(body) < int(length):
        return 0, ""
    return int(words[1]), fields.get(b"x-served-by", b"").decode("latin-1")
