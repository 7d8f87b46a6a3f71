"""Hooks as processes: the command as it is written, without a shell, its output taken down up to a bound."""

from __future__ import annotations

import asyncio
import os
import shlex
from pathlib import Path

from services.oned_lite.lifecycle.work import Work, WorkResult

CONCURRENCY = 10
OUTPUT_BYTES_MAX = 64 * 1024
KILLED = "255"
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER")
"""Of the daemon's environment; the rest may hold secrets."""
SSH = ("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10")


class HookRunner:
    """Driver hook/local. A command without a folder is looked for in `folder` first.

    It may run a second time after a failover: the result of a leader that died is lost with it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._free = asyncio.Semaphore(CONCURRENCY)

    async def run(self, work: Work) -> WorkResult:
        try:
            command = self._command(work)
        except ValueError as error:
            return _ended(work, [], KILLED, b"", f"cannot read the hook's command: {error}".encode())
        given = work.argument("ARGUMENTS").encode() if work.argument("STDIN") == "YES" else b""
        async with self._free:
            try:
                return await _execute(work, command, given)
            except OSError as error:
                return _ended(work, command, KILLED, b"", f"{command[0]}: {error.strerror}".encode())

    def _command(self, work: Work) -> list[str]:
        """Raises ValueError where quotes do not match or nothing is there to run."""
        words = shlex.split(work.argument("COMMAND"))
        if not words:
            raise ValueError("it is empty")
        host = work.argument("REMOTE_HOST")
        if work.argument("STDIN") != "YES":
            words += shlex.split(work.argument("ARGUMENTS"))
        if host:
            return [*SSH, "--", host, shlex.join(words)]
        local = self._folder / words[0]
        return [str(local) if local.is_file() else words[0], *words[1:]]


async def _execute(work: Work, command: list[str], given: bytes) -> WorkResult:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={name: os.environ[name] for name in PASSED_ON if name in os.environ},
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(work.timeout_s * 0.9):  # before the deadline of whoever waits for us
            stdout, stderr, _ = await asyncio.gather(
                _head(process.stdout), _head(process.stderr), _feed(process.stdin, given)
            )
            code = await process.wait()
    except TimeoutError:
        return _ended(work, command, KILLED, b"", b"the hook took too long and was stopped")
    finally:
        await _stop(process)
    return _ended(work, command, str(code), stdout, stderr)


async def _head(stream: asyncio.StreamReader | None) -> bytes:
    """The first bytes; the rest is read and dropped, so that the command does not wait for us."""
    assert stream is not None, "the process was started with pipes"
    kept = b""
    while chunk := await stream.read(65536):
        kept = (kept + chunk)[:OUTPUT_BYTES_MAX]
    return kept


async def _feed(stream: asyncio.StreamWriter | None, given: bytes) -> None:
    assert stream is not None, "the process was started with pipes"
    try:
        stream.write(given)
        await stream.drain()
    except (BrokenPipeError, ConnectionResetError):
        pass  # a command need not read what it is given
    finally:
        stream.close()


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        try:
            os.killpg(process.pid, 9)
        except ProcessLookupError:
            return
        await process.wait()


def _ended(work: Work, command: list[str], code: str, stdout: bytes, stderr: bytes) -> WorkResult:
    values = (
        ("COMMAND", shlex.join(command)),
        ("CODE", code),
        ("STDOUT", stdout.decode(errors="replace")),
        ("STDERR", stderr.decode(errors="replace")),
    )
    return WorkResult(key=work.key, ok=code == "0", values=values)
