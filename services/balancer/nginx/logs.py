"""``log_format`` and ``access_log`` of an nginx.conf."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.balancer.nginx.directives import Directive, Problems
from services.balancer.settings import AccessLog

if TYPE_CHECKING:
    from services.balancer.nginx.locations import Inherited

_ESCAPES = ("default", "json", "none")


class LogReader:
    """Formats first, then the logs that name them."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._formats: dict[str, dict[str, Any]] = {}

    def format(self, directive: Directive) -> None:
        """Take a ``log_format NAME [escape=…] TEXT…``."""
        name, *parts = directive.args
        values: dict[str, Any] = {}
        if parts and parts[0].startswith("escape="):
            values["escape"] = parts.pop(0).removeprefix("escape=")
            if values["escape"] not in _ESCAPES:
                self._problems.wrong(directive, f"escape= with one of {', '.join(_ESCAPES)}")
                values["escape"] = "default"
        values["format"] = self._problems.template(directive, "".join(parts))
        self._formats[name] = values

    def log(self, directive: Directive, shared: Inherited) -> None:
        """Take an ``access_log``; ``off`` ends what outer levels say."""
        if directive.text == "off":
            shared.add("access_log", None)
            return
        values: dict[str, Any] = {}
        for argument in directive.args[1:]:
            key, equals, value = argument.partition("=")
            if not equals and argument in self._formats:
                values |= self._formats[argument]
            elif key == "if" and equals:
                values["when"] = self._problems.template(directive, value)
            elif not (argument == "combined" or (key in ("buffer", "flush") and equals)):
                self._problems.add(directive, f"there is no log_format or parameter {argument!r}")
        path = directive.text
        if path.startswith("syslog:") or "$" in path:
            self._problems.wrong(directive, "a path without variables")
        elif path in ("/dev/stderr", "/dev/stdout"):
            path = "stderr"
        shared.add("access_log", AccessLog(path=path, **values))
