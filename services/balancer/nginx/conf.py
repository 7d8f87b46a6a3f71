"""An ``nginx.conf`` as settings. What is not supported is refused with file and line, everything at once.

Defaults are nginx's own of today: connections to upstreams are kept unless ``keepalive 0`` or HTTP/1.0 is asked for (as
from nginx 1.29.7 on).
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import crossplane
import msgspec

from services.balancer.nginx.directives import Block, Directive, Problems, number, seconds
from services.balancer.nginx.http import HttpReader
from services.balancer.nginx.table import permitted
from services.balancer.settings import MAX_CLIENTS, MAX_WORKERS, Settings
from services.common.settings import SettingsError

_ESCAPE = re.compile(r"""\\([\\"'trn])""")
_CONTROLS = {"t": "\t", "r": "\r", "n": "\n"}


def read_nginx_conf(path: Path) -> Settings:
    """Read a file with its includes; raises SettingsError with every problem as ``file:line: …``."""
    payload = crossplane.parse(str(path), combine=True, comments=False)
    problems = Problems()
    for error in payload["errors"]:
        text = str(error["error"]).removesuffix(f" in {error['file']}:{error['line']}")
        problems.add_at(error["file"], error["line"] or 1, text)
    directives = tuple(_tree(payload["config"][0]["parsed"] if payload["config"] else []))
    settings = _Reader(problems, str(path)).settings(directives)
    if problems.lines:
        raise SettingsError(*problems.lines)
    return settings


def _tree(parsed: list[dict[str, Any]]) -> list[Directive]:
    return [
        Directive(
            name=_unescaped(entry["directive"]),
            args=tuple(map(_unescaped, entry["args"])),
            file=entry.get("file", ""),
            line=entry["line"],
            block=tuple(_tree(entry["block"])) if "block" in entry else None,
        )
        for entry in parsed
    ]


def _unescaped(text: str) -> str:
    """Backslashes before quotes and backslashes are gone in nginx's reading, and some letters behind one mean controls."""
    return _ESCAPE.sub(lambda found: _CONTROLS.get(found[1], found[1]), text)


class _Reader:
    """The top of the file: processes, events and one http block."""

    def __init__(self, problems: Problems, file: str) -> None:
        self._problems = problems
        self._file = file
        self._connections = 512
        self._process: dict[str, Any] = {}

    def settings(self, directives: Block) -> Settings:
        http: Directive | None = None
        for directive in permitted(directives, "main", self._problems):
            if directive.name == "http":
                http = directive
            elif directive.name == "worker_processes":
                self._process["workers"] = self._workers(directive)
            elif directive.name == "worker_shutdown_timeout":
                self._process["quit_timeout_s"] = seconds(directive, self._problems)
            elif directive.name == "pid":
                self._process["pid_file"] = directive.text
            else:
                self._events(directive.block or ())
        if http is None or http.block is None:
            if not self._problems.lines:  # a file that cannot be parsed has told its problem
                self._problems.add_at(self._file, 1, "the file has no http block")
            return Settings()
        # nginx allows each worker so many, these settings all of them together
        connections = min(self._connections * self._process.get("workers", 1), MAX_CLIENTS)
        settings = HttpReader(self._problems).settings(http.block, connections)
        return msgspec.structs.replace(settings, **self._process)

    def _workers(self, directive: Directive) -> int:
        """``auto``: one for each processor that this process may use."""
        wanted = len(os.sched_getaffinity(0)) if directive.text == "auto" else number(directive, self._problems)
        return min(max(wanted, 1), MAX_WORKERS)

    def _events(self, block: Block) -> None:
        for directive in permitted(block, "events", self._problems):
            self._connections = number(directive, self._problems)
