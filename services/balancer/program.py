"""The life of the program: start or take over, reload, upgrade, quit or stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

from services.balancer import acceleration
from services.balancer.config import read_plan
from services.balancer.fleet import Fleet
from services.balancer.pidfile import PidFile, notify_supervisor
from services.balancer.server import GRACE_S, Balancer
from services.balancer.site import Plan
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
        self._heir: asyncio.Task[None] | None = None

    async def run(self, stop: asyncio.Event) -> int:
        """Live until told to end; returns the exit status."""
        loop = asyncio.get_running_loop()
        heritage = await Heritage.receive()
        self._fleet: Fleet = (Crew if self._plan.settings.workers > 1 else Balancer)(
            self._plan, self._log, heritage.sockets
        )
        state_file = self._plan.settings.state_file
        self._changes = Changes(self._fleet, Path(state_file) if state_file else None)
        self._fleet.judged = self._changes.judged
        self._status = StatusListener(self._fleet, self._changes, self._reload)
        try:
            self._changes.restore(heritage.snapshot)
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
        heritage.accept()
        self._log.info(
            "serving",
            listen=" ".join(self._fleet.plan.listeners),
            workers=self._plan.settings.workers,
            code=acceleration.description(),
        )
        await self._until_the_end(stop)
        self._pid_file.remove()
        return 0

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
            draining = asyncio.create_task(self._fleet.drain())
            draining.add_done_callback(lambda _: gone.set())
            await first_of(gone, stop, timeout_s=self._fleet.plan.settings.quit_timeout_s or None)
            if gone.is_set():
                return
            draining.cancel()
        await self._fleet.stop(GRACE_S if stop.is_set() else 0)

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
            # servers changed at run time stay as they are when a state file is kept
            await self._fleet.reload(plan, self._changes.restore)
        except (SettingsError, OSError) as error:
            raise ValueError(str(error)) from None
        self._log.info("settings reloaded")
        if (plan.settings.workers > 1) is isinstance(self._fleet, Balancer):
            self._log.warning("workers beside this process come or go with an upgrade (SIGUSR2) or a restart only")

    # Upgrade

    async def _upgrade(self) -> None:
        """Start a new program beside this one, and leave the status page and the files to it."""
        self._pid_file.step_aside()
        heir, status = Heir(), self._status.socket
        try:
            serves = await heir.start(
                self._fleet.sockets, (self._fleet.plan.settings.status, status) if status else None,
                self._changes.snapshot(),
            )  # fmt: skip
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
        self._heir = asyncio.create_task(self._outlive(heir))

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
