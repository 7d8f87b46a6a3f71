"""A worker: the data plane in a process of its own, which does what the master says.

Run by the master as ``python -m services.balancer.workers.worker DESCRIPTOR``. When the master is gone, a worker serves
the clients that it has and ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterable
from typing import Any

import uvloop

from services.balancer.channel import Channel, inherited
from services.balancer.core.groups import Group
from services.balancer.core.roster import Member
from services.balancer.plane.shared_buckets import SharedBuckets
from services.balancer.plane.shared_places import SharedPlaces
from services.balancer.plane.zone import ZoneMemory
from services.balancer.server import GRACE_S, Balancer
from services.balancer.site import build
from services.balancer.sockets import Sockets
from services.balancer.status.figures import engine_figures
from services.balancer.workers.messages import (
    Accept,
    Accepting,
    Adopt,
    Adopted,
    Ask,
    Leave,
    Limits,
    Rates,
    Report,
    Roster,
    Socket,
    ToWorker,
    Zone,
)
from services.common import logs


class Worker:
    """Handles messages one after the other; leaving goes on beside it."""

    def __init__(self, fd: int) -> None:
        self._messages: asyncio.Queue[tuple[Any, int]] = asyncio.Queue()
        self._channel = Channel(
            inherited(fd), ToWorker, lambda *message: self._messages.put_nowait(message), self._orphaned
        )
        self._sockets = Sockets()
        self._zones: dict[str, ZoneMemory] = {}
        self._places: SharedPlaces | None = None
        self._buckets: SharedBuckets | None = None
        self._balancer: Balancer | None = None
        self._leaving: asyncio.Task[None] | None = None
        self._gone = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._leave, GRACE_S)
        loop.add_signal_handler(signal.SIGQUIT, self._leave, None)
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)  # who sends them to all processes of a service means the master
        handling = asyncio.create_task(self._handle_all())
        gone = asyncio.create_task(self._gone.wait())
        await asyncio.wait((handling, gone), return_when=asyncio.FIRST_COMPLETED)
        if not handling.cancel():
            handling.result()  # raises what went wrong: the master starts another worker
        if self._balancer is not None:
            self._channel.send(Report(figures=engine_figures(self._balancer.engine)))
        self._channel.close()

    async def _handle_all(self) -> None:
        while True:
            await self._handle(*await self._messages.get())

    async def _handle(self, message: ToWorker, fd: int) -> None:
        match message:
            case Socket(address=address):
                self._sockets.take(address, inherited(fd))
            case Zone(group=group, column=column):
                self._zones[group] = ZoneMemory(fd, column)
            case Limits(column=column):
                self._places = SharedPlaces(fd, column)
            case Rates():
                self._buckets = SharedBuckets(fd)
            case Adopt():
                self._channel.send(Adopted(problem=await self._adopt(message)))
            case Roster(group=group, members=members):
                if self._balancer is not None and group in self._balancer.groups:
                    self._balancer.assume(group, members)
            case Accept(numbers=numbers):
                if self._balancer is not None and self._leaving is None:
                    await self._balancer.accept_on(numbers)
                self._channel.send(Accepting())
            case Ask():
                if self._balancer is not None:
                    self._channel.send(Report(figures=engine_figures(self._balancer.engine)))
            case Leave(grace_s=grace_s):
                self._leave(grace_s)

    async def _adopt(self, message: Adopt) -> str:
        """Begin to serve, or change to new settings; returns what is wrong."""
        plan, fresh = build(message.settings), self._balancer is None
        logs.setup("balancer", plan.settings.log.level, plan.settings.log.style)
        try:
            if self._balancer is None:
                self._balancer = Balancer(
                    plan, logs.get("worker"), self._sockets,
                    zones=self._zones, places=self._places, buckets=self._buckets, probes=False,
                )
                await self._balancer.accept_on(())
                await self._balancer.start()
            else:
                await self._balancer.reload(plan)
        except OSError as error:
            return error.strerror or str(error)
        for name in self._zones.keys() - {name for name, group in plan.groups.items() if group.zone}:
            del self._zones[name]
        for name, members in message.rosters.items():
            self._balancer.assume(name, members)
            if fresh:
                self._recall(self._balancer.groups[name], members)
        return ""

    @staticmethod
    def _recall(group: Group, members: Iterable[Member]) -> None:
        """Begin with the times and failures that are known; shared memory has the failures already."""
        for peer, member in zip(group.peers, members, strict=True):
            peer.stats.header_time_s, peer.stats.response_time_s = member.times.header_s, member.times.response_s
        if not group.shared:
            group.recall({member.settings.address: member.passive for member in members})

    def _orphaned(self) -> None:
        self._leave(None)

    def _leave(self, grace_s: float | None) -> None:
        """Begin to leave; one who leaves slowly already can be told to hurry."""
        if self._leaving is not None:
            if grace_s is None:
                return
            self._leaving.cancel()
        self._leaving = asyncio.get_running_loop().create_task(self._depart(grace_s))

    async def _depart(self, grace_s: float | None) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            if self._balancer is not None and grace_s is None:
                await self._balancer.drain()
            elif self._balancer is not None and grace_s is not None:
                await self._balancer.stop(grace_s)
            self._gone.set()


async def _run(fd: int) -> None:
    await Worker(fd).run()


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C reaches everybody, but the master decides
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(int(sys.argv[1])))
    sys.stderr.flush()
    os._exit(0)  # a thread that hangs on a slow disk must not hold up the end


if __name__ == "__main__":
    main()
