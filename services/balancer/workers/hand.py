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
    """``number`` is its place in the crew, ``column`` where it counts in zones; ``ready`` once it accepts connections."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.column = 0
        self.figures = Figures()
        self.ready = False
        self.accepts_on: tuple[int, ...] = ()
        self.silences = 0  # beats without a report
        self._adopted: deque[asyncio.Future[str]] = deque()
        self._reported = asyncio.Event()
        self._accepting = asyncio.Event()
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
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._adopted.append(answer)
        self.tell(message)
        if self._cut:
            self._silent()
        try:
            return await asyncio.wait_for(asyncio.shield(answer), ADOPT_S)
        except TimeoutError:
            return "a worker does not answer"

    async def accept_on(self, numbers: tuple[int, ...]) -> None:
        """Returns when it does, or is gone."""
        if numbers != self.accepts_on:
            self.accepts_on = numbers
            self._accepting.clear()
            self.tell(Accept(numbers=numbers))
            if not self._cut:
                await self._accepting.wait()

    async def report(self) -> Figures:
        """Its figures; the last ones known when it does not answer soon."""
        self._reported.clear()
        self.tell(Ask())
        if not self._cut:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._reported.wait(), ANSWER_S)
        return self.figures

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
                self._accepting.set()
            case Report(figures=figures):
                self.figures = figures
                self.silences = 0
                self._reported.set()

    def _silent(self) -> None:
        """The line is cut: nobody needs to wait any more."""
        self._cut = True
        while self._adopted:
            self._adopted.popleft().set_result("the worker died")
        self._accepting.set()
        self._reported.set()


def _path() -> str:
    return os.pathsep.join(filter(None, (_ROOT, os.environ.get("PYTHONPATH", ""))))
