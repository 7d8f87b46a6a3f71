"""The load, a process of its own: sends each request when it is due, whatever became of those before it.

    python -m deploy.lab.compare.load

Reads orders (JSON, one a line) and answers each with the fate of all its requests on a line. Being alone in its process, it
is late only when the machine is; how late, each request says.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from dataclasses import dataclass

import msgspec
import uvloop

from deploy.lab.compare.history import Outcome, Request, outcome
from deploy.lab.compare.schedule import Arrival
from deploy.lab.errors import LabError
from services.common.settings import Address

ANSWER_LIMIT = 1 << 16
LINE_LIMIT = 1 << 28
IDLE_S = 15.0
"""A connection that was kept longer than this is not used again: before any balancer here would close it."""

FORM = b"name=web&description=" + b"a+small+form" * 12
END_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Order:
    """What to send to `host`:`port`; `start_s` is when the run begins, on the machine's monotonic clock."""

    host: str
    port: int
    start_s: float
    due: tuple[Arrival, ...]
    stall_s: float
    patience_s: float


class Answer(msgspec.Struct, frozen=True):
    """What came back: 0 and "" if nothing that could be understood did."""

    status: int = 0
    server: str = ""
    length: int | None = None
    stays: bool = False


class Load:
    """The process, as the conductor of the experiment has it. `async with` starts and ends it."""

    async def __aenter__(self) -> Load:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "deploy.lab.compare.load",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=LINE_LIMIT, start_new_session=True,
        )  # fmt: skip
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.terminate()
        async with asyncio.timeout(END_WITHIN_S):
            await self._process.wait()

    async def send(self, order: Order) -> tuple[Request, ...]:
        """The fate of every request, in the order in which they were due. LabError if the process is no more."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(msgspec.json.encode(order) + b"\n")
            await self._process.stdin.drain()
        except ConnectionError:
            pass  # no line will come back, and that is said below
        line = await self._process.stdout.readline()
        if not line:
            raise LabError("the load of the comparison ended in the middle of it")
        return msgspec.json.decode(line, type=tuple[Request, ...])


async def send_all(order: Order) -> tuple[Request, ...]:
    """Sends what is due when it is due."""
    users = Users(Address(order.host, order.port))
    async with asyncio.TaskGroup() as group:
        tasks = []
        for arrival in order.due:
            await _until(order.start_s + arrival.at_s)
            tasks.append(group.create_task(_send(users, arrival, order)))
    users.leave()
    return tuple(task.result() for task in tasks)


async def _until(due_s: float) -> None:
    """Never returns early: uvloop rounds to milliseconds, so what is left of the last one is slept again."""
    while (left_s := due_s - time.monotonic()) > 0:  # noqa: ASYNC110 - a clock sets no events
        await asyncio.sleep(left_s)


async def _send(users: Users, arrival: Arrival, order: Order) -> Request:
    sent_s, answer = time.monotonic() - order.start_s, Answer()
    fate: Outcome | None = None
    try:
        async with asyncio.timeout(order.patience_s):
            answer = await users.ask(arrival)
    except TimeoutError:
        fate = Outcome.GAVE_UP
    except (OSError, EOFError, asyncio.LimitOverrunError):
        fate = Outcome.ERROR
    latency_s = time.monotonic() - order.start_s - arrival.at_s
    fate = fate or outcome(answer.status, latency_s, order.stall_s)
    return Request(arrival.at_s, sent_s, latency_s, arrival.method, answer.status, answer.server, fate)


class Users:
    """The connections of all users. A kept one carries a request at a time, and the last one used is used first."""

    def __init__(self, target: Address) -> None:
        self._target = target
        self._idle: list[tuple[float, asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, arrival: Arrival) -> Answer:
        """One request and its whole answer. OSError or EOFError where the connection breaks."""
        reader, writer = (self._take() if arrival.kept else None) or await asyncio.open_connection(
            *self._target, limit=ANSWER_LIMIT
        )
        stays = False
        try:
            writer.write(request_of(arrival))
            answer = read_head(await reader.readuntil(b"\r\n\r\n"))
            await (reader.read() if answer.length is None else reader.readexactly(answer.length))
            stays = arrival.kept and answer.stays and answer.length is not None
            return answer
        finally:
            if stays:
                self._idle.append((time.monotonic(), reader, writer))
            else:
                writer.close()

    def leave(self) -> None:
        for _, _, writer in self._idle:
            writer.close()
        self._idle.clear()

    def _take(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        while self._idle:
            since_s, reader, writer = self._idle.pop()
            if not reader.at_eof() and not writer.is_closing() and time.monotonic() - since_s < IDLE_S:
                return reader, writer
            writer.close()
        return None


def request_of(arrival: Arrival) -> bytes:
    """The request as bytes: a page, or a small form that is sent to it."""
    keep = "keep-alive" if arrival.kept else "close"
    head = f"{arrival.method} /page HTTP/1.1\r\nHost: ui\r\nConnection: {keep}\r\n"
    if arrival.method != "POST":
        return f"{head}\r\n".encode()
    kind = "Content-Type: application/x-www-form-urlencoded"
    return f"{head}{kind}\r\nContent-Length: {len(FORM)}\r\n\r\n".encode() + FORM


def read_head(head: bytes) -> Answer:
    """Status, X-Served-By, length and whether the connection stays, of the head of an HTTP answer."""
    lines = head.split(b"\r\n")
    words = lines[0].split(maxsplit=2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        return Answer()
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
    length = fields.get(b"content-length", b"")
    return Answer(
        int(words[1]),
        fields.get(b"x-served-by", b"").decode("latin-1"),
        int(length) if length.isdigit() else None,
        words[0] == b"HTTP/1.1" and fields.get(b"connection", b"").lower() != b"close",
    )


async def _obey() -> None:
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader(limit=LINE_LIMIT)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        fates = await send_all(msgspec.json.decode(line, type=Order))
        sys.stdout.buffer.write(msgspec.json.encode(fates) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    uvloop.run(_obey())
