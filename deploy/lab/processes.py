"""Processes by pid *and* time of birth, so that a pid that now belongs to somebody else is never touched."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from enum import Enum
from pathlib import Path

import msgspec

PROC = Path("/proc")


class Condition(Enum):
    RUNNING = "running"
    PAUSED = "paused"
    ENDED = "ended"


class ProcessId(msgspec.Struct, frozen=True):
    """A process for good: `born` differs for every process that ever has the same pid."""

    pid: int
    born: str


def spawn(argv: tuple[str, ...], log: Path) -> ProcessId:
    """Starts a process in a session of its own, its output appended to `log`. It outlives us."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        pid = os.posix_spawn(
            argv[0],
            argv,
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, nothing, 0),
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, 2),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGHUP],
        )
    finally:
        os.close(output)
        os.close(nothing)
    return ProcessId(pid, _look(pid)[0])


def this() -> ProcessId:
    """The process that asks."""
    return of(os.getpid())


def of(pid: int) -> ProcessId:
    """The process that has the pid now."""
    return ProcessId(pid, _look(pid)[0])


def condition(process: ProcessId) -> Condition:
    born, state = _look(process.pid)
    if born != process.born or (state in ("Z", "X", "") and _has_let_go(process.pid)):
        return Condition.ENDED
    return Condition.PAUSED if state == "T" else Condition.RUNNING


def send(process: ProcessId, signum: signal.Signals) -> bool:
    """Signals the process if it still is the one meant; says whether it was."""
    if not hasattr(os, "pidfd_open"):
        if condition(process) is Condition.ENDED:
            return False
        os.kill(process.pid, signum)
        return True
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(process.pid)
        try:
            # The handle holds on to whoever has the pid now, so a look after opening it cannot be overtaken.
            if condition(process) is not Condition.ENDED:
                signal.pidfd_send_signal(handle, signum)
                return True
        finally:
            os.close(handle)
    return False


def exit_of(process: ProcessId) -> str | None:
    """How a child of ours ended, in words; None if it is not our child or has not ended."""
    try:
        pid, status = os.waitpid(process.pid, os.WNOHANG)
    except ChildProcessError:
        return None
    if pid == 0:
        return None
    code = os.waitstatus_to_exitcode(status)
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"


def _look(pid: int) -> tuple[str, str]:
    """When a process was born, and the letter of its state; empty strings where there is none."""
    if not PROC.joinpath("self/stat").exists():
        return _ask_ps(pid)
    try:
        fields = PROC.joinpath(str(pid), "stat").read_text().rpartition(")")[2].split()
        return f"{_boot_id()}/{fields[19]}", fields[0]
    except (FileNotFoundError, ProcessLookupError):
        return "", ""


def _has_let_go(pid: int) -> bool:
    """Whether the last thread of a dead process has ended too; until then its ports stay taken."""
    if not hasattr(os, "pidfd_open"):
        return True
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(0))
    finally:
        os.close(handle)


def _boot_id() -> str:
    """The kernel's name for this boot; times of birth count from it."""
    return PROC.joinpath("sys/kernel/random/boot_id").read_text().strip()


def _ask_ps(pid: int) -> tuple[str, str]:
    """The same from `ps`, for systems without /proc."""
    answer = subprocess.run(["ps", "-o", "state=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, born = answer.stdout.strip().partition(" ")
    return (born.strip(), state[:1]) if state else ("", "")


def cpu_s(process: ProcessId) -> float:
    """Processor seconds that the process and what it started have used so far (its whole session), as of Linux."""
    used = 0.0
    for pid in (entry.name for entry in PROC.iterdir() if entry.name.isdigit()):
        try:
            fields = PROC.joinpath(pid, "stat").read_text().rpartition(")")[2].split()
            if fields[3] == str(process.pid):
                # clock_getcpuclockid(3) makes the same number; it counts nanoseconds where stat counts hundredths.
                used += time.clock_gettime((~int(pid) << 3) | 2)
        except OSError:
            continue  # it has just ended
    return used
