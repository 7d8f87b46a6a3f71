"""An ``nginx.conf`` as settings. What is not supported is refused with file and line, everything at once.

Defaults are nginx's own of today: connections to upstreams are kept unless ``keepalive 0`` or HTTP/1.0 is asked for (as
from nginx 1.29.7 on).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import crossplane
import msgspec

from services.balancer.nginx.directives import Block, Directive, Problems, number, seconds
from services.balancer.nginx.http import HttpReader
from services.balancer.nginx.table import permitted
from services.balancer.settings import MAX_CLIENTS, MAX_WORKERS, Settings
from services.common.settings import SettingsError

_BROKEN_BLOCK = re.compile(r'invalid number of arguments in "(map|if|location|server|upstream|limit_except|match|http)"')
_ESCAPE = re.compile(r"""\\([\\"'trn])""")
_CONTROLS = {"t": "\t", "r": "\r", "n": "\n"}


def read_nginx_conf(path: Path) -> Settings:
    """Read a file with its includes; raises SettingsError with every problem as ``file:line: …``."""
    payload = crossplane.parse(str(path), comments=False)
    problems = Problems(path.parent.absolute())
    lost: dict[str, int] = {}  # files and where in them blocks are not closed where they seem to be any more
    for error in payload["errors"]:
        file, line = error["file"], error["line"] or 1
        text = str(error["error"]).removesuffix(f" in {file}:{error['line']}")
        if file in lost:
            continue
        if _BROKEN_BLOCK.match(text):
            lost[file] = line
            text += "; what comes behind it has not been looked at"
        problems.add_at(file, line, text)
    files = [(config["file"], config["parsed"]) for config in payload["config"]]
    directives = tuple(_tree(files, *files[0])) if files else ()
    settings = _Reader(problems, str(path)).settings(directives)
    problems.forget_behind(lost)
    if problems.lines:
        raise SettingsError(*problems.lines)
    return settings


def _tree(files: list[tuple[str, list[dict[str, Any]]]], file: str, parsed: list[dict[str, Any]]) -> Iterator[Directive]:
    """The directives of a file, or of a block in it, each knowing where it stands; included ones in their place."""
    for entry in parsed:
        for included in entry.get("includes", ()):
            yield from _tree(files, *files[included])
        yield Directive(
            name=_unescaped(entry["directive"]),
            args=tuple(map(_unescaped, entry["args"])),
            file=file,
            line=entry["line"],
            block=tuple(_tree(files, file, entry["block"])) if "block" in entry else None,
        )


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
