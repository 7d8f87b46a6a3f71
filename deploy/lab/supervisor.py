"""Makes the processes of a topology run, and stops, kills and freezes them.

Nothing is restarted behind anybody's back: a lab is for seeing things die. Every process is known by its pid file, so
that each command works on a lab that another one has started.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from deploy.lab import ports, processes
from deploy.lab.errors import LabError
from deploy.lab.folders import LabFolder, private_folder, write_secret
from deploy.lab.processes import Condition, ProcessId
from deploy.lab.readiness import ask
from deploy.lab.topology import Preparation, Process, Topology

READY_WITHIN_S = 60.0
PREPARED_WITHIN_S = 120.0
SIGNAL_WITHIN_S = 5.0
POLL_S = 0.03

Report = Callable[[str], None]
"""Takes one line of progress."""


class Busy(LabError):
    """Another command is at work on the same lab."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A process as it is found: never started or ended means no pid."""

    process: Process
    condition: Condition
    pid: int | None


class Supervisor:
    """The processes of the lab in one folder."""

    def __init__(self, topology: Topology, folder: LabFolder, report: Report) -> None:
        self.topology = topology
        self.folder = folder
        self._report = report
        self._replaced: set[tuple[int | None, int | None]] = set()

    def look(self, process: Process) -> Sighting:
        found = self._find(process)
        if found is None:
            return Sighting(process, Condition.ENDED, None)
        return Sighting(process, processes.condition(found), found.pid)

    def look_at_all(self) -> list[Sighting]:
        return [self.look(process) for process in self.topology.processes]

    @contextlib.contextmanager
    def exclusively(self) -> Iterator[None]:
        """Keeps two commands from starting and stopping the same lab at the same time."""
        with self.folder.lock.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Busy(
                    "another onelite command is starting or stopping this lab; try again when it is done"
                ) from None
            yield

    async def start(self, wanted: tuple[Process, ...], *, sick_within_s: float = READY_WITHIN_S) -> None:
        """Starts those that do not run and waits until all are ready. If one fails, none that it started is left.

        A server that answers, but says that it cannot serve, counts as started after `sick_within_s`: a web UI, say,
        whose daemons are all dead.
        """
        missing = tuple(process for process in wanted if self._find(process) is None)
        for process in wanted:
            if self.look(process).condition is Condition.PAUSED:
                raise LabError(f"{process.name} is paused; let it go on first: onelite resume {process.name}")
        for process in missing:
            for address in process.ports:
                ports.require_free(address, process.name)
        try:
            await self._start_together(wanted, missing, sick_within_s)
        except BaseException:
            await self.clear_away(missing)
            raise

    async def stop(self, wanted: tuple[Process, ...]) -> None:
        """Asks each to end (SIGTERM), those that need others first, and kills what does not within its time."""
        await self._stop_those(wanted, quiet=False)

    async def clear_away(self, unwanted: tuple[Process, ...]) -> None:
        """Stops without a word what a failed start leaves; if even that is interrupted, kills it."""
        try:
            await self._stop_those(unwanted, quiet=True)
        except asyncio.CancelledError:
            self.kill(unwanted)
            raise

    def kill(self, wanted: tuple[Process, ...]) -> bool:
        """SIGKILL: what a crash or a power cut does to a process. Says whether there was any to kill."""
        return self._signal(wanted, signal.SIGKILL, Condition.ENDED, "killed")

    def pause(self, wanted: tuple[Process, ...]) -> bool:
        """SIGSTOP: the process stays but does nothing, like a machine that hangs."""
        return self._signal(wanted, signal.SIGSTOP, Condition.PAUSED, "paused")

    def resume(self, wanted: tuple[Process, ...]) -> bool:
        """SIGCONT."""
        return self._signal(wanted, signal.SIGCONT, Condition.RUNNING, "goes on")

    async def replace(self, process: Process) -> None:
        """Has a new process of the same program take over in place. LabError if it does not, and then nothing has changed.

        As with nginx: SIGUSR2 starts it, and SIGQUIT lets the old one end with its last client, for which this waits.
        """
        old = self._find(process)
        if old is None:
            raise LabError(f"{process.name} does not run")
        handing_over = asyncio.ensure_future(self._hand_over(process, old))
        try:
            await asyncio.shield(handing_over)
            while True:
                if processes.condition(old) is Condition.ENDED:
                    break
                await asyncio.sleep(POLL_S)
        except asyncio.CancelledError:
            await handing_over  # a new process that nobody knows of would outlive the lab
            processes.send(old, signal.SIGTERM)
            raise
        processes.exit_of(old)

    def was_replaced(self, old: int | None, new: int | None) -> bool:
        """Whether a process took over from another in place."""
        return (old, new) in self._replaced

    async def _hand_over(self, process: Process, old: ProcessId) -> None:
        while True:
            try:
                with self.exclusively():
                    new = await self._successor(process, old)
                    self._replaced.add((old.pid, new.pid))
                    self.folder.pid_file(process.name).write_bytes(msgspec.json.encode(new))
                    break
            except Busy:
                await asyncio.sleep(POLL_S)
        processes.send(old, signal.SIGQUIT)

    async def _successor(self, process: Process, old: ProcessId) -> ProcessId:
        """The process that the old one starts beside itself, once it serves."""
        assert process.own_pid_file is not None
        processes.send(old, signal.SIGUSR2)
        deadline, aside = time.monotonic() + READY_WITHIN_S, False
        while time.monotonic() < deadline and processes.condition(old) is not Condition.ENDED:
            pid = _read_pid(process.own_pid_file)
            if pid and pid != old.pid:
                return processes.of(pid)
            if aside and pid:
                break
            aside = aside or not pid
            await asyncio.sleep(POLL_S)
        raise LabError(f"no new process serves; {last_line(self.folder.log(process.name))}")

    def how_it_ended(self, pid: int, process: Process) -> str:
        """What is known of the end of a process that was `pid`."""
        last = self._recorded(process)
        return (processes.exit_of(last) if last is not None and last.pid == pid else None) or "ended"

    def _signal(self, wanted: tuple[Process, ...], signum: signal.Signals, wished: Condition, done: str) -> bool:
        """Signals all at once, and then waits until each is as wished."""
        found = {process.name: self._find(process) for process in wanted}
        reached = {name: each for name, each in found.items() if each is not None and processes.send(each, signum)}
        deadline = time.monotonic() + SIGNAL_WITHIN_S
        for name in found:
            if (each := reached.get(name)) is None:
                self._report(f"{name} does not run")
                continue
            while processes.condition(each) is not wished and time.monotonic() < deadline:
                time.sleep(POLL_S)
            self._report(f"{name} (pid {each.pid}) {done}")
        return bool(reached)

    async def _start_together(
        self, wanted: tuple[Process, ...], missing: tuple[Process, ...], sick_within_s: float
    ) -> None:
        ready = {process.name: asyncio.Event() for process in wanted}
        try:
            async with asyncio.TaskGroup() as group:
                for process in wanted:
                    group.create_task(self._start_one(process, process in missing, ready, sick_within_s))
        except BaseExceptionGroup as failures:
            ours, others = failures.split(LabError)
            if ours is None or others is not None:
                raise
            raise ours.exceptions[0] from None

    async def _start_one(
        self, process: Process, fresh: bool, ready: dict[str, asyncio.Event], sick_within_s: float
    ) -> None:
        for name in process.needs:
            if name in ready:
                await ready[name].wait()
        began = time.monotonic()
        if fresh:
            await self._prepare(process)
            self._spawn(process)
        complaint = await self._until_ready(process, sick_within_s)
        took = f"ready after {time.monotonic() - began:.1f} s" if fresh else "runs already"
        self._report(f"{process.name:<11}{f'runs, but {complaint}' if complaint else took}")
        ready[process.name].set()

    async def _prepare(self, process: Process) -> None:
        for folder in process.folders:
            folder.mkdir(parents=True, exist_ok=True)
        for file in process.files:
            if file.secret:
                write_secret(file.path, file.text)
            else:
                file.path.write_text(file.text)
        socket = self.folder.socket(process.name)
        if socket.parent != self.folder.lock.parent:
            private_folder(socket.parent)
        if process.preparation is not None:
            await asyncio.to_thread(_prepare_once, process.preparation, self.folder.log(process.name), process.name)

    def _spawn(self, process: Process) -> None:
        try:
            born = processes.spawn(process.argv, self.folder.log(process.name))
        except OSError as error:
            raise LabError(f"{process.name}: {process.argv[0]}: {error.strerror}") from error
        self.folder.pid_file(process.name).write_bytes(msgspec.json.encode(born))

    async def _until_ready(self, process: Process, sick_within_s: float) -> str:
        """Returns what the server complains of if it came up sick, else nothing."""
        began = time.monotonic()
        while (amiss := await ask(process.probe)) is not None:
            waited_s = time.monotonic() - began
            if self._find(process) is None:
                raise LabError(f"{process.name} ended while it started: {last_line(self.folder.log(process.name))}")
            if amiss.answers and sick_within_s < waited_s < READY_WITHIN_S:
                return amiss.what
            if waited_s > READY_WITHIN_S:
                log = self.folder.log(process.name)
                raise LabError(
                    f"{process.name} is not ready after {READY_WITHIN_S:.0f} s ({amiss.what}); its log: {log}"
                )
            await asyncio.sleep(POLL_S)
        return ""

    async def _stop_those(self, wanted: tuple[Process, ...], quiet: bool) -> None:
        for wave in self.topology.waves():
            async with asyncio.TaskGroup() as group:
                for process in wave:
                    if process in wanted:
                        group.create_task(self._stop_one(process, quiet))

    async def _stop_one(self, process: Process, quiet: bool) -> None:
        found = self._find(process)
        if found is None:
            return
        began = time.monotonic()
        processes.send(found, signal.SIGTERM)
        processes.send(found, signal.SIGCONT)  # one that is paused gets the news only when it goes on
        how = "stopped"
        while processes.condition(found) is not Condition.ENDED:
            if how == "stopped" and time.monotonic() - began > process.stop_within_s:
                how = f"killed, as it did not stop within {process.stop_within_s:.0f} s"
                processes.send(found, signal.SIGKILL)
            await asyncio.sleep(POLL_S)
        processes.exit_of(found)
        if not quiet or how != "stopped":
            self._report(f"{process.name:<11}{how}")

    def _find(self, process: Process) -> ProcessId | None:
        """The process, if it is alive."""
        recorded = self._recorded(process)
        return recorded if recorded and processes.condition(recorded) is not Condition.ENDED else None

    def _recorded(self, process: Process) -> ProcessId | None:
        try:
            return msgspec.json.decode(self.folder.pid_file(process.name).read_bytes(), type=ProcessId)
        except (FileNotFoundError, msgspec.DecodeError):
            return None  # never started, or its file was cut off by a crash


def _prepare_once(preparation: Preparation, log: Path, name: str) -> None:
    """Runs a preparation to its end, once: a marker beside the folder says that it came to it."""
    marker = preparation.folder.with_name(f"{preparation.folder.name}.prepared")
    if marker.exists():
        return
    shutil.rmtree(preparation.folder, ignore_errors=True)
    preparation.folder.mkdir(parents=True)
    program = Path(preparation.argv[0]).name
    with log.open("ab") as output:
        try:
            # In a session of its own, so that a Ctrl-C meant for us does not cut it off half-way.
            done = subprocess.run(
                preparation.argv,
                stdout=output,
                stderr=output,
                timeout=PREPARED_WITHIN_S,
                start_new_session=True,
                check=False,
            )
        except (subprocess.TimeoutExpired, OSError) as error:
            raise LabError(f"{name}: {program} failed: {error}; its log: {log}") from error
    if done.returncode != 0:
        raise LabError(f"{name}: {program} failed with exit status {done.returncode}; its log: {log}")
    marker.touch()


def _read_pid(path: Path) -> int:
    """The process id in a file, 0 when there is none."""
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text())
    return 0


def last_line(log: Path) -> str:
    """The last line of a log that says something."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - 8192))
            lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    except FileNotFoundError:
        lines = []
    return f"{lines[-1]} (log: {log})" if lines else f"it left no word (log: {log})"
