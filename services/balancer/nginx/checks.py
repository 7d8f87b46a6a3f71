"""``health_check`` and ``match`` of an nginx.conf."""

from __future__ import annotations

from typing import Any

from services.balancer.nginx.directives import Directive, Problems, seconds
from services.balancer.nginx.table import permitted
from services.balancer.settings import HeaderMatch, HealthCheck


class CheckReader:
    """Reads match blocks first, then the checks that name them."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._matches: dict[str, dict[str, Any]] = {}

    def match(self, block: Directive) -> None:
        """Take a ``match NAME { … }``: all its conditions must hold."""
        values: dict[str, Any] = {"headers": [], "status": [], "require": []}
        for directive in permitted(block.block or (), "match", self._problems):
            if directive.name == "status":
                values["status"] = self._statuses(directive)
            elif directive.name == "header":
                values["headers"].append(self._header(directive))
            elif directive.name == "require":
                values["require"] += self._required(directive)
            else:
                values["body"] = self._body(directive)
        # A match that says nothing of the status takes any.
        values["status"] = values["status"] or ["100-599"]
        self._matches[block.text] = values

    def _statuses(self, directive: Directive) -> list[int | str]:
        negated = directive.text == "!"
        listed = directive.args[1:] if negated else directive.args
        for text in listed:
            if not all(part.isdigit() and len(part) == 3 for part in text.split("-", 1)):
                self._problems.wrong(directive, "[!] statuses such as 200 and ranges such as 200-399")
                return [200]
        return [f"!{text}" if negated else text for text in listed]

    def _required(self, directive: Directive) -> list[str]:
        if not directive.args or not all(argument.startswith("$") for argument in directive.args):
            self._problems.wrong(directive, "one or several $VARIABLES")
        return [self._problems.template(directive, argument) for argument in directive.args]

    def _header(self, directive: Directive) -> HeaderMatch:
        args = directive.args
        if len(args) == 1:
            return HeaderMatch(name=args[0])
        if len(args) == 2 and args[0] == "!":
            return HeaderMatch(name=args[1], negate=True)
        if len(args) == 3 and args[1] in ("=", "!="):
            return HeaderMatch(name=args[0], value=args[2], negate=args[1] == "!=")
        if len(args) == 3 and args[1] in ("~", "!~"):
            return HeaderMatch(name=args[0], pattern=args[2], negate=args[1] == "!~")
        self._problems.wrong(directive, "NAME, ! NAME, or NAME with =, !=, ~ or !~ and a value")
        return HeaderMatch(name="X")

    def _body(self, directive: Directive) -> str:
        if len(directive.args) == 2 and directive.text in ("~", "!~"):
            pattern = directive.args[1]
            if directive.text == "!~":
                return "!" + pattern
            return "\\" + pattern if pattern.startswith("!") else pattern
        self._problems.wrong(directive, "~ PATTERN or !~ PATTERN")
        return ""

    def check(self, directive: Directive, timeout_s: float) -> HealthCheck:
        """A ``health_check`` of a location whose ``proxy_read_timeout`` is ``timeout_s``."""
        values: dict[str, Any] = {"timeout_s": timeout_s}
        for argument in directive.args:
            key, _, value = argument.partition("=")
            if key in ("interval", "jitter"):
                values[f"{key}_s"] = seconds(directive, self._problems, value)
            elif key in ("fails", "passes", "port") and value.isdigit():
                values[key] = int(value)
            elif key == "uri":
                values[key] = value
            elif argument in ("mandatory", "persistent"):
                values[argument] = True
            elif key == "match" and value in self._matches:
                values |= self._matches[value]
            elif argument == "type=http" or key == "keepalive_time":
                pass  # each probe has a connection of its own
            elif key == "match":
                self._problems.add(directive, f"there is no match block named {value!r}")
            else:
                self._problems.add(directive, f"parameter {argument} is not supported")
        return HealthCheck(**values)
