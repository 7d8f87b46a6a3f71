"""The life of the program: start or take over, reload, upgrade, quit or stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

from services.balancer import acceleration
from services.balancer.config import read_plan
from services.balancer.core.addresses import unix_path
from services.balancer.estate import Counters, Estate, add, counters, decode, encode, estate, since, take_up
from services.balancer.fleet import Fleet
from services.balancer.pidfile import PidFile, notify_supervisor
from services.balancer.server import GRACE_S, Balancer
from services.balancer.site import Plan
from services.balancer.sockets import Sockets, remove_dead
from services.balancer.status.changes import Changes
from services.balancer.status.listener import StatusListener
from services.balancer.upgrade import Heir, Heritage, first_of
from services.balancer.workers.crew import Crew
from services.common import logs
from services.common.settings import SettingsError

MAX_ASKED = 8


class Program:
    """One program, whether it balances in this process or in workers.

    SIGHUP reads the settings again, SIGUSR2 starts a new program beside this one, SIGQUIT quits when the last client
    has left, SIGTERM and SIGINT after a short grace.
    """

    def __init__(self, path: Path, plan: Plan) -> None:
        self._path = path
        self._plan = plan
        self._log = logs.get("balancer")
        self._pid_file = PidFile(plan.settings.pid_file)
        self._asked: asyncio.Queue[signal.Signals] = asyncio.Queue(maxsize=MAX_ASKED)
        self._quit = asyncio.Event()
        self._heir: Heir | None = None
        self._left = Counters()  # what the heir, or the fleet that serves now, has been told
        self._retiring: dict[Fleet, asyncio.Task[None]] = {}

    async def run(self, stop: asyncio.Event) -> int:
        """Live until told to end; returns the exit status."""
        loop = asyncio.get_running_loop()
        heritage = await Heritage.receive()
        self._fleet, self._changes = self._made(self._plan, heritage.sockets)
        self._status = StatusListener(self._changes, self._reload)
        try:
            left = self._understood(heritage.snapshot)
            self._changes.restore(left)
            take_up(self._fleet, left or Estate(groups={}))
            await self._fleet.start()
            await self._open_status(heritage)
        except (OSError, ValueError) as error:
            self._log.error("cannot start", reason=getattr(error, "strerror", None) or str(error))
            await self._fleet.stop(grace_s=0)
            return 1
        for number in (signal.SIGHUP, signal.SIGUSR2):
            loop.add_signal_handler(number, self._ask, number)
        loop.add_signal_handler(signal.SIGQUIT, self._quit.set)
        self._appear()
        heritage.remainder = lambda counted: add(self._fleet, counted)
        heritage.accept()
        self._log.info(
            "serving",
            listen=" ".join(self._fleet.plan.listeners),
            workers=self._plan.settings.workers,
            code=acceleration.description(),
        )
        await self._until_the_end(stop)
        if self._heir is not None:
            self._heir.count(since(await counters(self._fleet), self._left))
        for path in filter(None, map(unix_path, self._fleet.plan.listeners)):
            remove_dead(path)  # unless the heir listens on it
        self._pid_file.remove()
        return 0

    def _made(self, plan: Plan, sockets: Sockets) -> tuple[Fleet, Changes]:
        """A fleet of the kind that the plan asks for, and what changes it."""
        fleet: Fleet = (Crew if plan.settings.workers > 1 else Balancer)(plan, self._log, sockets)
        state_file = self._plan.settings.state_file
        changes = Changes(fleet, Path(state_file) if state_file else None)
        fleet.judged = changes.judged
        return fleet, changes

    def _understood(self, snapshot: bytes) -> Estate | None:
        """What the program before this one knew; nothing when there was none, or when it speaks otherwise."""
        if not snapshot:
            return None
        try:
            return decode(snapshot)
        except ValueError as error:
            self._log.warning("what the old program knows is not understood, beginning anew", reason=str(error))
            return None

    def _appear(self) -> None:
        try:
            self._pid_file.write()
        except OSError as error:
            self._log.warning("cannot write the pid file", reason=error.strerror)
        notify_supervisor(f"READY=1\nMAINPID={os.getpid()}")

    async def _open_status(self, heritage: Heritage) -> None:
        settings = self._fleet.plan.settings
        await self._status.open(settings, heritage.status.get(settings.status))

    # Signals

    def _ask(self, number: signal.Signals) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            self._asked.put_nowait(number)

    async def _until_the_end(self, stop: asyncio.Event) -> None:
        serving = asyncio.create_task(self._do_what_is_asked())
        await first_of(stop, self._quit)
        serving.cancel()
        await self._status.close()
        if not stop.is_set():
            self._log.info("quitting when the last client has left")
            gone = asyncio.Event()
            draining = asyncio.gather(self._fleet.drain(), *self._retiring.values())
            draining.add_done_callback(lambda _: gone.set())
            await first_of(gone, stop, timeout_s=self._fleet.plan.settings.quit_timeout_s or None)
            if gone.is_set():
                return
            draining.cancel()
        grace_s = GRACE_S if stop.is_set() else 0
        await asyncio.gather(*(fleet.stop(grace_s) for fleet in (self._fleet, *self._retiring)))

    async def _do_what_is_asked(self) -> None:
        while True:
            match await self._asked.get():
                case signal.SIGHUP:
                    try:
                        await self._reload()
                    except ValueError as error:
                        self._log.error("settings not reloaded, the old ones stay", reason=str(error))
                case signal.SIGUSR2 if self._heir is None:
                    await self._upgrade()

    async def _reload(self) -> None:
        """Read the file again; raises ValueError, and then nothing has changed."""
        try:
            plan = await asyncio.to_thread(read_plan, self._path)
            if (plan.settings.workers > 1) is isinstance(self._fleet, Balancer):
                await self._replace_fleet(plan)
            else:
                # servers changed at run time stay as they are when a state file is kept
                await self._fleet.reload(plan, self._changes.restore)
        except (SettingsError, OSError) as error:
            raise ValueError(str(error)) from None
        self._log.info("settings reloaded")

    async def _replace_fleet(self, plan: Plan) -> None:
        """Go over from one process to workers, or back: as an upgrade does it, but within this program."""
        old, before = self._fleet, await estate(self._fleet, self._changes)
        fleet, changes = self._made(plan, old.sockets.copy())
        try:
            changes.restore()
            changes.restore_switches(before)
            take_up(fleet, before)
            await fleet.start()
        except (OSError, ValueError):
            await fleet.stop(grace_s=0)
            raise
        self._fleet, self._changes = fleet, changes
        self._status.show(changes)
        self._retiring[old] = asyncio.create_task(self._retire(old, before.counters))

    async def _retire(self, old: Fleet, before: Counters) -> None:
        """Let the clients of a fleet that was replaced finish."""
        await old.drain()
        add(self._fleet, since(await counters(old), before))
        del self._retiring[old]

    # Upgrade

    async def _upgrade(self) -> None:
        """Start a new program beside this one, and leave the status page and the files to it."""
        self._pid_file.step_aside()
        heir, status = Heir(), self._status.socket
        left = await estate(self._fleet, self._changes)
        try:
            serves = await heir.start(
                self._fleet.sockets, (self._fleet.plan.settings.status, status) if status else None, encode(left)
            )
        except OSError as error:
            self._log.error("no new program", reason=error.strerror)
            serves = False
        if not serves:
            self._pid_file.come_back()
            self._log.error("the new program does not serve, this one goes on")
            return
        self._log.info("a new program serves too; SIGQUIT ends this one", pid=heir.pid)
        await self._status.close()
        self._changes.saving = False
        self._heir, self._left = heir, left.counters
        self._outliving = asyncio.create_task(self._outlive(heir))

    async def _outlive(self, heir: Heir) -> None:
        """Take back what the new program was left, when it ends before this one."""
        await heir.ended()
        self._heir = None
        self._changes.saving = True
        self._pid_file.come_back()
        self._log.warning("the new program has ended, this one goes on", pid=heir.pid)
        try:
            await self._status.open(self._fleet.plan.settings)
        except OSError as error:
            self._log.error("no status page", reason=error.strerror)
