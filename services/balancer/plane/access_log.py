"""Access logs: lines are collected and written twice a second by a thread, never by the loop."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from services.common import logs

if TYPE_CHECKING:
    from services.balancer.core.variables import Variable
    from services.balancer.plane.facts import Facts

_SPECIAL = re.compile(rb'[\x00-\x1f"\\\x7f-\xff]')
FLUSH_S = 0.5
MAX_WAITING = 100_000  # lines; beyond it the disk is too slow and lines are dropped and counted


class AccessLogs:
    """Appends lines to the files that routes name, or to standard error for the path ``stderr``."""

    def __init__(self, loop: asyncio.AbstractEventLoop, paths: Iterable[str]) -> None:
        self._loop = loop
        self._lines: dict[str, list[bytes]] = {path: [] for path in paths}
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="access-log")
        self._failing: set[str] = set()
        self._handle: asyncio.TimerHandle | None = None
        self.dropped = 0

    def write(self, facts: Facts) -> None:
        """Note a request that is over, in the logs of its route."""
        for log in facts.route.logs:
            lines = self._lines.get(log.path)
            if lines is None or (log.when is not None and log.when.render(facts) in (b"", b"0")):
                continue
            if len(lines) >= MAX_WAITING:
                self.dropped += 1
                continue
            form = _FORMS[log.escape]
            parts = [part if isinstance(part, bytes) else _shown(part, facts, form) for part in log.form.parts]
            lines.append(b"".join(parts))
            if self._handle is None:
                self._handle = self._loop.call_later(FLUSH_S, self._flush)

    def _flush(self) -> None:
        self._handle = None
        for path, lines in self._lines.items():
            if lines:
                self._lines[path] = []
                self._writer.submit(self._append, path, b"\n".join([*lines, b""]))

    def _append(self, path: str, text: bytes) -> None:
        """In the thread. A file that cannot be written is named once, until it can be again."""
        try:
            _append(path, text)
            self._failing.discard(path)
        except OSError as error:
            if path not in self._failing:
                self._failing.add(path)
                logs.get("access-log").error("lines are lost", path=path, reason=error.strerror)

    def close(self, *, wait: bool = True) -> None:
        """Write what there is; without ``wait``, the thread may end later."""
        if self._handle is not None:
            self._handle.cancel()
        self._flush()
        self._writer.shutdown(wait=wait)


def _shown(variable: Variable, facts: Facts, form: Callable[[bytes], bytes]) -> bytes:
    value = variable.read(facts)
    return form(value) if value or not variable.always_set else b""


def _append(path: str, text: bytes) -> None:
    if path == "stderr":
        sys.stderr.buffer.write(text)
        sys.stderr.buffer.flush()
        return
    with Path(path).open("ab") as file:  # opened each time, so that rotating is renaming
        file.write(text)


def escaped(value: bytes) -> bytes:
    """A value as nginx logs it: a dash when there is none; quotes, backslashes and what cannot be printed as ``\\xXX``."""
    if not value:
        return b"-"
    if not _SPECIAL.search(value):
        return value
    return _SPECIAL.sub(lambda found: b"\\x%02X" % found[0][0], value)


def escaped_in_json(value: bytes) -> bytes:
    """A value as it may stand between the quotes of a JSON text; bytes that are no UTF-8 stay as they are."""
    text = json.dumps(value.decode("utf-8", "surrogateescape"), ensure_ascii=False)[1:-1]
    return text.encode("utf-8", "surrogateescape")


_FORMS: dict[str, Callable[[bytes], bytes]] = {
    "default": escaped,
    "json": escaped_in_json,
    "none": bytes,
}
