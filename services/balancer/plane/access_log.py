"""The access log: lines are collected and written twice a second by a thread, never by the loop."""

from __future__ import annotations

import asyncio
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from services.balancer.core.variables import Scope, Template

_SPECIAL = re.compile(rb'[\x00-\x1f"\\\x7f-\xff]')
FLUSH_S = 0.5
MAX_WAITING = 100_000  # lines; beyond it the disk is too slow and lines are dropped and counted


class AccessLogWriter:
    """Appends to a file, or to standard error for the path ``stderr``."""

    def __init__(self, loop: asyncio.AbstractEventLoop, path: str, form: Template) -> None:
        self._loop = loop
        self._path = path
        self._form = form
        self._lines: list[bytes] = []
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="access-log")
        self._handle: asyncio.TimerHandle | None = None
        self.dropped = 0

    def write(self, scope: Scope) -> None:
        if len(self._lines) >= MAX_WAITING:
            self.dropped += 1
            return
        parts = [part if isinstance(part, bytes) else escaped(part.read(scope)) for part in self._form.parts]
        self._lines.append(b"".join(parts))
        if self._handle is None:
            self._handle = self._loop.call_later(FLUSH_S, self._flush)

    def _flush(self) -> None:
        self._handle = None
        lines, self._lines = self._lines, []
        if lines:
            self._writer.submit(self._append, b"\n".join([*lines, b""]))

    def _append(self, text: bytes) -> None:
        if self._path == "stderr":
            sys.stderr.buffer.write(text)
            sys.stderr.buffer.flush()
            return
        with Path(self._path).open("ab") as file:  # opened each time, so that rotating is renaming
            file.write(text)

    def close(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._flush()
        self._writer.shutdown(wait=True)


def escaped(value: bytes) -> bytes:
    """A value as nginx logs it: a dash when empty; quotes, backslashes and what cannot be printed as ``\\xXX``."""
    if not value:
        return b"-"
    if not _SPECIAL.search(value):
        return value
    return _SPECIAL.sub(lambda found: b"\\x%02X" % found[0][0], value)
