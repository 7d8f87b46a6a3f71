"""Another program takes over while this one serves: the sockets go with it, so no connection is refused.

As in nginx: the program that runs starts a new one (SIGUSR2) and hands it its listening sockets and what it knows. Both
then accept; SIGQUIT makes the old one leave. A new program that cannot serve ends, and the old one goes on as before.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable

from services.balancer.channel import Channel, Message, WithDescriptor, inherited, pair
from services.balancer.estate import Counters, Moment
from services.balancer.sockets import Sockets

VARIABLE = "BALANCER_LITE_HERITAGE"
READY_S = 60.0


class Listener(WithDescriptor, frozen=True, kw_only=True):
    """A listening socket, the next one of its address."""

    address: str


class StatusSocket(WithDescriptor, frozen=True, kw_only=True):
    """That of the status page."""

    address: str


class Rest(Message, frozen=True, kw_only=True):
    """The last message before the new program serves: an ``Estate``, encoded."""

    snapshot: bytes


class Remainder(Message, frozen=True, kw_only=True):
    """Every now and then, and at the end of the old program: what it counted since, and what it has in progress."""

    counters: Counters
    moment: Moment = Moment()


class Serving(Message, frozen=True, kw_only=True):
    """The new program accepts connections."""


class Heritage:
    """What a new program was given; ``snapshot`` is empty for one that was started afresh.

    ``remainder`` is called while the old program serves too, and at its end.
    """

    def __init__(self) -> None:
        self.sockets = Sockets()
        self.status: dict[str, socket.socket] = {}
        self.snapshot = b""
        self.remainder: Callable[[Counters, Moment], None] = lambda counters, moment: None
        self._channel: Channel | None = None

    @classmethod
    async def receive(cls) -> Heritage:
        """Take what the program that started this one gives; nothing when nobody did. Raises ValueError."""
        heritage = cls()
        fd = os.environ.pop(VARIABLE, "")
        if fd:
            complete = asyncio.Event()
            heritage._channel = Channel(
                inherited(int(fd)), Listener | StatusSocket | Rest | Remainder,
                lambda message, fd: heritage._take(message, fd, complete), lambda: heritage._orphaned(complete),
            )  # fmt: skip
            await complete.wait()
        return heritage

    def _orphaned(self, complete: asyncio.Event) -> None:
        """The old program has ended, whether or not it could say its last."""
        complete.set()
        self.remainder(Counters(), Moment())

    def _take(self, message: Listener | StatusSocket | Rest | Remainder, fd: int, complete: asyncio.Event) -> None:
        match message:
            case Listener(address=address):
                self.sockets.take(address, inherited(fd))
            case StatusSocket(address=address):
                self.status[address] = inherited(fd)
            case Rest(snapshot=snapshot):
                self.snapshot = snapshot
                complete.set()
            case Remainder(counters=counters, moment=moment):
                self.remainder(counters, moment)

    def accept(self) -> None:
        """Tell the old program that this one serves."""
        if self._channel is not None:
            self._channel.send(Serving())


class Heir:
    """A new program, as the old one sees it."""

    def __init__(self) -> None:
        self._serving = asyncio.Event()
        self._silent = asyncio.Event()

    async def start(self, sockets: Sockets, status: tuple[str, socket.socket] | None, snapshot: bytes) -> bool:
        """Run the command that started this program once more; returns whether the new one serves.

        When it does not, it has ended. Raises OSError when it cannot be run.
        """
        mine, its = pair()
        with its:
            self._process = _again(its)
        self._channel = channel = Channel(mine, Serving, lambda *_: self._serving.set(), self._silent.set)
        for address, sock in sockets:
            channel.send(Listener(address=address), sock.fileno())
        if status is not None:
            channel.send(StatusSocket(address=status[0]), status[1].fileno())
        channel.send(Rest(snapshot=snapshot))
        await first_of(self._serving, self._silent, timeout_s=READY_S)
        if not self._serving.is_set():
            channel.close()
            self._process.kill()
            await self.ended()
        return self._serving.is_set()

    @property
    def pid(self) -> int:
        return self._process.pid

    def count(self, counters: Counters, moment: Moment) -> None:
        """Tell the new program what this one counted since, and what it has in progress."""
        self._channel.send(Remainder(counters=counters, moment=moment))

    async def ended(self) -> None:
        """Wait for the end of the new program."""
        if self._process.poll() is not None:
            return
        fd = os.pidfd_open(self.pid)
        readable = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(fd, readable.set)
        try:
            await readable.wait()
            self._process.wait()
        finally:
            loop.remove_reader(fd)
            os.close(fd)


def _again(line: socket.socket) -> subprocess.Popen[bytes]:
    """Not a process of asyncio: those may end with the loop that started them."""
    fd = line.fileno()
    command = [sys.executable, *sys.orig_argv[1:]]
    return subprocess.Popen(command, pass_fds=[fd], env={**os.environ, VARIABLE: str(fd)})


async def first_of(*events: asyncio.Event, timeout_s: float | None = None) -> None:
    """Wait until one is set, or the time is over."""
    waiters = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waiters, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    for waiter in waiters:
        waiter.cancel()
