"""An ``nginx.conf`` as settings. What is not supported is refused with file and line, everything at once.

Defaults are nginx's own of today: connections to upstreams are kept unless ``keepalive 0`` or HTTP/1.0 is asked for (as
from nginx 1.29.7 on).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import crossplane
import msgspec

from services.balancer.nginx.directives import Block, Directive, Problems, number, seconds
from services.balancer.nginx.http import HttpReader
from services.balancer.settings import MAX_WORKERS, Settings
from services.common.settings import SettingsError

# What tells nginx how to arrange its processes beyond their number means nothing here.
_IGNORED_AT_TOP = frozenset((
    "user", "worker_rlimit_nofile", "worker_cpu_affinity", "worker_priority", "master_process", "daemon", "error_log",
    "include", "load_module", "pcre_jit",
))  # fmt: skip


def read_nginx_conf(path: Path) -> Settings:
    """Read a file with its includes; raises SettingsError with every problem as ``file:line: …``."""
    payload = crossplane.parse(str(path), combine=True, comments=False)
    problems = Problems()
    for error in payload["errors"]:
        problems.add_text(_parse_error(error))
    directives = _tree(payload["config"][0]["parsed"] if payload["config"] else [])
    settings = _Reader(problems).settings(directives)
    if problems.lines:
        raise SettingsError(*problems.lines)
    return settings


def _parse_error(error: dict[str, Any]) -> str:
    text = str(error["error"]).removesuffix(f" in {error['file']}:{error['line']}")
    return f"{error['file']}:{error['line']}: {text}"


def _tree(parsed: list[dict[str, Any]]) -> list[Directive]:
    return [
        Directive(
            name=entry["directive"],
            args=tuple(entry["args"]),
            file=entry.get("file", ""),
            line=entry["line"],
            block=tuple(_tree(entry["block"])) if "block" in entry else None,
        )
        for entry in parsed
    ]


class _Reader:
    """The top of the file: processes, events and one http block."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._connections = 512
        self._process: dict[str, Any] = {}

    def settings(self, directives: list[Directive]) -> Settings:
        http: Directive | None = None
        for directive in directives:
            if directive.name == "http" and directive.block is not None:
                http = directive
            elif directive.name == "events" and directive.block is not None:
                self._events(directive.block)
            elif directive.name == "worker_processes":
                self._process["workers"] = self._workers(directive)
            elif directive.name == "worker_shutdown_timeout":
                self._process["quit_timeout_s"] = seconds(directive, self._problems)
            elif directive.name == "pid":
                self._process["pid_file"] = directive.text
            elif directive.name not in _IGNORED_AT_TOP:
                self._problems.unsupported(directive)
        if http is None or http.block is None:
            self._problems.add_text("the file has no http block")
            return Settings()
        settings = HttpReader(self._problems).settings(http.block, self._connections)
        return msgspec.structs.replace(settings, **self._process)

    def _workers(self, directive: Directive) -> int:
        """``auto``: one for each processor that this process may use."""
        wanted = len(os.sched_getaffinity(0)) if directive.text == "auto" else number(directive, self._problems)
        return min(max(wanted, 1), MAX_WORKERS)

    def _events(self, block: Block) -> None:
        for directive in block:
            if directive.name == "worker_connections":
                self._connections = number(directive, self._problems)
            elif directive.name not in ("use", "multi_accept", "accept_mutex"):
                self._problems.unsupported(directive)
