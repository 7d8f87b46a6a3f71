"""Which server block and which location a request belongs to (nginx ``server_name`` and ``location``)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from services.balancer.core.patterns import compile_pattern

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A location's pattern. ``kind``: ``prefix``, ``exact`` (=), ``final`` (^~: no patterns after it), ``regex``,
    ``named`` (@: not for paths).
    """

    kind: str
    text: bytes
    regex: re.Pattern[bytes] | None = None


def parse_pattern(text: str) -> Pattern:
    """Read ``/x``, ``= /x``, ``^~ /x``, ``~ regex``, ``~* regex`` or ``@name``; raises ValueError."""
    mark, _, rest = text.partition(" ")
    rest = rest.strip()
    if mark in ("=", "^~") and rest.startswith("/"):
        return Pattern("exact" if mark == "=" else "final", rest.encode())
    if mark in ("~", "~*") and rest:
        return Pattern("regex", rest.encode(), compile_pattern(rest, ignore_case=mark == "~*"))
    if text.startswith("/"):
        return Pattern("prefix", text.encode())
    if text.startswith("@") and len(text) > 1:
        return Pattern("named", text.encode())
    raise ValueError(f"expected /path, '= /path', '^~ /path', '~ regex', '~* regex' or @name, got {text!r}")


Entry = tuple[Pattern, T, "Locations[T] | None"]
"""A location and those that are nested in it."""


class Locations(Generic[T]):
    """Locations of one server, or of one location: exact, else the longest prefix unless a regex matches first.

    Those nested in the prefix are asked before the regexes beside it, and those nested in what was chosen at last.
    """

    def __init__(self, entries: Iterable[Entry[T]]) -> None:
        listed = list(entries)
        self._exact = {p.text: value for p, value, _ in listed if p.kind == "exact"}
        self.named = {p.text: value for p, value, _ in listed if p.kind == "named"}
        prefixes = [entry for entry in listed if entry[0].kind in ("prefix", "final")]
        self._prefixes = sorted(prefixes, key=lambda entry: -len(entry[0].text))
        self._regexes = [(p.regex, value, inner) for p, value, inner in listed if p.regex is not None]
        self._nests = any(inner is not None for _, _, inner in listed)

    def find(self, path: bytes) -> T | None:
        """The value for a normalised path."""
        if self._nests:
            return self._search(path)[0]
        if self._exact:
            exact = self._exact.get(path)
            if exact is not None:
                return exact
        found: T | None = None
        for pattern, value, _ in self._prefixes:
            if path[: len(pattern.text)] == pattern.text:
                if pattern.kind == "final":
                    return value
                found = value
                break
        for regex, value, _ in self._regexes:
            if regex.search(path):
                return value
        return found

    def _search(self, path: bytes) -> tuple[T | None, bool]:
        """The same with nested locations, and whether no regex of the level around it can change that."""
        exact = self._exact.get(path)
        if exact is not None:
            return exact, True
        found: T | None = None
        for pattern, value, inner in self._prefixes:
            if path[: len(pattern.text)] == pattern.text:
                within, settled = (None, False) if inner is None else inner._search(path)
                found = value if within is None else within
                if settled:
                    return found, True
                if pattern.kind == "final":
                    return found, False
                break
        for regex, value, inner in self._regexes:
            if regex.search(path):
                nested = None if inner is None else inner._search(path)[0]
                return (value if nested is None else nested), True
        return found, False


class Hosts(Generic[T]):
    """Server blocks of one listener by name: exact, ``*.tail``, ``head.*``, ``~regex``, else the default."""

    def __init__(self, entries: Sequence[tuple[Sequence[str], T]], default: T) -> None:
        self.default = default
        self._exact: dict[bytes, T] = {}
        self._tails: list[tuple[bytes, T]] = []
        self._heads: list[tuple[bytes, T]] = []
        self._regexes: list[tuple[re.Pattern[bytes], T]] = []
        for names, value in entries:
            for name in names:
                self._add(name.encode(), value)
        self._tails.sort(key=lambda entry: -len(entry[0]))
        self._heads.sort(key=lambda entry: -len(entry[0]))

    def _add(self, name: bytes, value: T) -> None:
        if name.startswith(b"~"):
            self._regexes.append((compile_pattern(name[1:].decode(), ignore_case=True), value))
        elif name.startswith(b"*."):
            self._tails.append((name[1:].lower(), value))
        elif name.startswith(b"."):
            self._exact.setdefault(name[1:].lower(), value)
            self._tails.append((name.lower(), value))
        elif name.endswith(b".*"):
            self._heads.append((name[:-1].lower(), value))
        else:
            self._exact.setdefault(name.lower(), value)

    def find(self, host: bytes) -> T:
        """The value for a host without port, lower case."""
        exact = self._exact.get(host)
        if exact is not None:
            return exact
        for tail, value in self._tails:
            if host.endswith(tail):
                return value
        for head, value in self._heads:
            if host.startswith(head):
                return value
        for regex, value in self._regexes:
            if regex.search(host):
                return value
        return self.default
