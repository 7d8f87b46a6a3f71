"""One worker as its master sees it: the process, the line to it, what it reported last."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections import deque
from pathlib import Path

import services
from services.balancer.channel import Channel, Message, pair
from services.balancer.status.figures import Figures
from services.balancer.workers.messages import Accept, Accepting, Adopt, Adopted, Ask, Leave, Report, ToMaster

ANSWER_S = 1.0
ADOPT_S = 20.0
_ROOT = str(Path(services.__path__[0]).parent)


class Hand:
    """``number`` is its place in the crew, ``column`` where it counts in zones.

    ``ready`` while it is to accept connections, ``served`` once it has; ``silent`` when it does not report any more.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.column = 0
        self.figures = Figures()
        self.ready = False
        self.served = False
        self.silent = False
        self.accepts_on: tuple[int, ...] = ()
        self.silences = 0  # beats in a row without a report
        self._adopted: deque[asyncio.Future[str]] = deque()
        self._accepting: deque[asyncio.Future[str]] = deque()
        self._reported = asyncio.Event()
        self._cut = False

    async def launch(self) -> None:
        """Start the process."""
        mine, its = pair()
        with its:
            # -P: the folder that the master was started in must not lend its modules to workers
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "services.balancer.workers.worker", str(its.fileno()),
                pass_fds=[its.fileno()], env={**os.environ, "PYTHONPATH": _path()},
            )  # fmt: skip
        self.started_at = asyncio.get_running_loop().time()
        self._channel = Channel(mine, ToMaster, self._received, self._silent)

    @property
    def pid(self) -> int:
        return self.process.pid

    def tell(self, message: Message, fd: int = -1) -> None:
        self._channel.send(message, fd)

    async def adopt(self, message: Adopt) -> str:
        """Have it serve by new settings; returns what is wrong."""
        return await self._answer(self._adopted, message, ADOPT_S)

    async def accept_on(self, numbers: tuple[int, ...]) -> None:
        """Returns when it does, or is gone, or does not answer soon; then it will, should it ever go on."""
        if numbers != self.accepts_on:
            self.accepts_on = numbers
            await self._answer(self._accepting, Accept(numbers=numbers), ANSWER_S)

    async def _answer(self, answers: deque[asyncio.Future[str]], message: Message, within_s: float) -> str:
        """Send what is answered in the order of sending, and wait for its answer."""
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        answers.append(answer)
        self.tell(message)
        if self._cut:
            self._silent()
        try:
            return await asyncio.wait_for(asyncio.shield(answer), within_s)
        except TimeoutError:
            return "a worker does not answer"

    def ask(self) -> None:
        """Have it report, soon."""
        self.tell(Ask())

    async def report(self) -> None:
        """Bring its figures up to date, unless it does not answer soon."""
        self._reported.clear()
        self.ask()
        if not (self._cut or self.silent):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._reported.wait(), ANSWER_S)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    def leave(self, grace_s: float | None) -> None:
        self.ready = False
        self.tell(Leave(grace_s=grace_s))

    async def gone(self) -> int:
        """Wait for its end; returns the exit status, and lets go of the line."""
        status = await self.process.wait()
        self.ready = False
        self._channel.drain()
        self._channel.close()
        self._silent()
        return status

    def _received(self, message: ToMaster, _: int) -> None:
        match message:
            case Adopted(problem=problem):
                self._adopted.popleft().set_result(problem)
            case Accepting():
                self._accepting.popleft().set_result("")
            case Report(figures=figures):
                self.figures = figures
                self.silences = 0
                self._reported.set()

    def _silent(self) -> None:
        """The line is cut: nobody needs to wait any more."""
        self._cut = True
        for answers in (self._adopted, self._accepting):
            while answers:
                answers.popleft().set_result("the worker died")
        self._reported.set()


def _path() -> str:
    return os.pathsep.join(filter(None, (_ROOT, os.environ.get("PYTHONPATH", ""))))
