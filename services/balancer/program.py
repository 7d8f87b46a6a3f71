"""The life of the program: start or take over, reload, upgrade, quit or stop."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec

from services.balancer import acceleration
from services.balancer.config import read_plan
from services.balancer.core.addresses import unix_path
from services.balancer.estate import Counters, Estate, Ledger, Moment, Retired, add, decode, encode, estate, take_up
from services.balancer.fleet import Fleet, WorkerView
from services.balancer.pidfile import PidFile, notify_supervisor
from services.balancer.plan import Plan
from services.balancer.plane.shared_limits import SharedLimits
from services.balancer.server import GRACE_S, Balancer
from services.balancer.sockets import Sockets, remove_dead
from services.balancer.status.changes import Changes
from services.balancer.status.figures import Figures
from services.balancer.status.listener import StatusListener
from services.balancer.upgrade import Heir, Heritage, first_of
from services.balancer.workers.crew import Crew
from services.common import logs
from services.common.settings import SettingsError

TELL_S = 1.0


class Program:
    """One program, whether it balances in this process or in workers.

    SIGHUP reads the settings again, SIGUSR2 starts a new program beside this one, SIGQUIT quits when the last client
    has left, SIGTERM and SIGINT after a short grace. Those that are not urgent are acted on one after the other.
    """

    def __init__(self, path: Path, plan: Plan) -> None:
        self._path = path
        self._plan = plan
        self._log = logs.get("balancer")
        self._pid_file = PidFile(plan.settings.pid_file)
        self._asked: asyncio.Queue[signal.Signals] = asyncio.Queue()
        self._waiting: set[signal.Signals] = set()  # in the queue
        self._changing = asyncio.Lock()
        self._heir: Heir | None = None
        self._retiring: dict[Retired, asyncio.Task[None]] = {}
        self._limits: SharedLimits | None = None  # once there were workers
        self._before = Moment()  # of the program before this one

    async def run(self, stop: asyncio.Event) -> int:
        """Live until told to end; returns the exit status."""
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT):
            asyncio.get_running_loop().add_signal_handler(number, self._ask, number)
        heritage = await Heritage.receive()
        self._fleet, self._changes = self._made(self._plan, heritage.sockets)
        self._status = StatusListener(self._changes, self)
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
        self._appear()
        heritage.remainder = self._hear
        heritage.accept()
        self._log.info(
            "serving",
            listen=" ".join(self._fleet.plan.listeners),
            workers=self._plan.settings.workers,
            code=acceleration.description(),
        )
        await self._until_the_end(stop)
        if self._heir is not None:
            await self._tell(self._heir)
        for path in filter(None, map(unix_path, self._fleet.plan.listeners)):
            remove_dead(path)  # unless the heir listens on it
        self._with_pid_file(self._pid_file.remove)
        return 0

    def _made(self, plan: Plan, sockets: Sockets) -> tuple[Fleet, Changes]:
        """A fleet of the kind that the plan asks for, and what changes it."""
        fleet: Fleet
        if plan.settings.workers > 1:
            self._limits = self._limits or SharedLimits()
            fleet = Crew(plan, self._log, sockets, self._limits)
        elif self._limits is not None:
            fleet = Balancer(plan, self._log, sockets, places=self._limits.places, buckets=self._limits.buckets)
        else:
            fleet = Balancer(plan, self._log, sockets)
        state_file = self._plan.settings.state_file
        changes = Changes(fleet, Path(state_file) if state_file else None)
        changes.saving = self._heir is None
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
        self._with_pid_file(self._pid_file.write)
        notify_supervisor(f"READY=1\nMAINPID={os.getpid()}")

    def _with_pid_file(self, action: Callable[[], None]) -> bool:
        """Whether it could be done. Who cannot write the file balances all the same."""
        try:
            action()
        except OSError as error:
            self._log.error("cannot write the pid file", reason=str(error))
            return False
        return True

    async def _open_status(self, heritage: Heritage) -> None:
        settings = self._fleet.plan.settings
        await self._status.open(settings, heritage.status.get(settings.status))

    # Signals

    def _ask(self, number: signal.Signals) -> None:
        """Once it waits, the same signal says nothing new."""
        if number not in self._waiting:
            self._waiting.add(number)
            self._asked.put_nowait(number)

    async def _until_the_end(self, stop: asyncio.Event) -> None:
        serving, told_to_quit = asyncio.create_task(self._do_what_is_asked()), asyncio.Event()
        serving.add_done_callback(lambda _: told_to_quit.set())
        await first_of(stop, told_to_quit)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await self._status.close()
        if not stop.is_set():
            gone = asyncio.Event()
            draining = asyncio.gather(self._fleet.drain(), *self._retiring.values())
            draining.add_done_callback(lambda _: gone.set())
            await first_of(gone, stop, timeout_s=self._fleet.plan.settings.quit_timeout_s or None)
            if gone.is_set():
                return
            draining.cancel()
        grace_s = GRACE_S if stop.is_set() else 0
        fleets = (self._fleet, *(retired.fleet for retired in self._retiring))
        await asyncio.gather(*(fleet.stop(grace_s) for fleet in fleets))

    async def _do_what_is_asked(self) -> None:
        """Until told to quit, which waits for what was asked before: a new program is up by then, or is not coming."""
        asked: signal.Signals | None = None
        while asked is not signal.SIGQUIT:
            asked = await self._asked.get()
            self._waiting.discard(asked)
            try:
                await self._act_on(asked)
            except Exception:  # whatever went wrong, clients are served
                self._log.exception("failed", signal=asked.name)

    async def _act_on(self, number: signal.Signals) -> None:
        match number:
            case signal.SIGHUP:
                try:
                    await self.reload()
                except ValueError as error:
                    self._log.error("settings not reloaded, the old ones stay", reason=str(error))
            case signal.SIGUSR1:
                self._log.info("log files are opened for every writing, there is nothing to open again")
            case signal.SIGUSR2 if self._heir is not None:
                self._log.warning("a new program is there already: end it, or this one, first", pid=self._heir.pid)
            case signal.SIGUSR2:
                async with self._changing:
                    await self._upgrade()
            case signal.SIGQUIT:
                async with self._changing:
                    self._log.info("quitting when the last client has left")

    async def reload(self) -> None:
        """Read the file again; raises ValueError, and then nothing has changed."""
        async with self._changing:
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
        old, limits, before = self._fleet, self._limits, await estate(self._fleet, self._changes)
        fleet, changes = self._made(plan, old.sockets.copy())
        if fleet.buckets is old.buckets:
            before = msgspec.structs.replace(before, levels=None)
        try:
            changes.restore()
            changes.restore_switches(before)
            take_up(fleet, before)
            await fleet.start()
        except (OSError, ValueError, asyncio.CancelledError):
            await fleet.stop(grace_s=0)
            if limits is None and self._limits is not None:
                self._limits.close()
                self._limits = None
            raise
        if isinstance(old, Balancer) and self._limits is not None:
            old.share(self._limits)
        self._fleet, self._changes = fleet, changes
        self._status.show(changes)
        retired = Retired(old, before.counters)
        self._retiring[retired] = asyncio.create_task(self._retire(retired))

    async def _retire(self, retired: Retired) -> None:
        """Let the clients of a fleet that was replaced finish, in the time that those of a program that quits have."""
        try:
            async with asyncio.timeout(self._fleet.plan.settings.quit_timeout_s or None):
                await retired.fleet.drain()
        except TimeoutError:
            await retired.fleet.stop(grace_s=0)
        await retired.report_to(self._fleet)
        del self._retiring[retired]

    # As the status shows it

    async def figures(self) -> Figures:
        """Of the fleet that serves, and of those before it, and of the program before this one, while they have clients."""
        await asyncio.gather(*(retired.report_to(self._fleet) for retired in self._retiring))
        figures, groups = await self._fleet.figures(), self._fleet.groups
        for moment in (self._before, *(retired.moment for retired in self._retiring)):
            figures.add(moment.figures(groups))
        return figures

    def workers(self) -> list[WorkerView]:
        leaving = [worker for retired in self._retiring for worker in retired.fleet.workers()]
        return [*self._fleet.workers(), *(msgspec.structs.replace(worker, leaving=True) for worker in leaving)]

    def _hear(self, counted: Counters, moment: Moment) -> None:
        """What the program before this one says of itself."""
        add(self._fleet, counted)
        self._before = moment

    # Upgrade

    async def _upgrade(self) -> None:
        """Start a new program beside this one, and leave the status page and the files to it."""
        if not self._with_pid_file(self._pid_file.step_aside):
            self._log.error("no new program is started, it could not be told from this one")
            return
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
            self._with_pid_file(self._pid_file.come_back)
            self._log.error("the new program does not serve, this one goes on")
            return
        self._log.info("a new program serves too; SIGQUIT ends this one", pid=heir.pid)
        await self._status.close()
        self._changes.saving = False
        self._heir = heir
        self._ledger = Ledger(self.figures, lambda: self._fleet.groups, left.counters)
        self._telling = asyncio.create_task(self._keep_telling(heir))
        self._outliving = asyncio.create_task(self._outlive(heir))

    async def _keep_telling(self, heir: Heir) -> None:
        while True:
            await asyncio.sleep(TELL_S)
            await self._tell(heir)

    async def _tell(self, heir: Heir) -> None:
        heir.count(*await self._ledger.news())

    async def _outlive(self, heir: Heir) -> None:
        """Take back what the new program was left, when it ends before this one."""
        await heir.ended()
        self._telling.cancel()
        self._heir = None
        self._changes.saving = True
        self._with_pid_file(self._pid_file.come_back)
        self._log.warning("the new program has ended, this one goes on", pid=heir.pid)
        try:
            await self._status.open(self._fleet.plan.settings)
        except OSError as error:
            self._log.error("no status page", reason=error.strerror)
