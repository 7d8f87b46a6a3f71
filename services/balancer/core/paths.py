"""Request paths: the decoded form that locations are matched against, and query arguments."""

from __future__ import annotations

import re

_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")


class BadPath(ValueError):
    """A path that climbs above the root, or holds a malformed escape or a zero byte."""


def normalise(path: bytes) -> bytes:
    """Decode escapes, resolve ``.`` and ``..``, merge slashes (nginx ``$uri``); raises BadPath."""
    if b"%" in path:
        if path.count(b"%") != len(_ESCAPE.findall(path)):
            raise BadPath("malformed escape in the path")
        path = _ESCAPE.sub(lambda found: bytes((int(found[1], 16),)), path)
        if b"\0" in path:
            raise BadPath("zero byte in the path")
    if b"//" not in path and b"/." not in path:
        return path
    return _resolve(path)


def _resolve(path: bytes) -> bytes:
    kept: list[bytes] = []
    segments = path.split(b"/")
    for segment in segments:
        if segment == b"..":
            if not kept:
                raise BadPath("the path climbs above the root")
            kept.pop()
        elif segment not in (b"", b"."):
            kept.append(segment)
    tail = b"/" if segments[-1] in (b"", b".", b"..") and kept else b""
    return b"/" + b"/".join(kept) + tail


def query_argument(query: bytes, name: bytes) -> bytes:
    """The first value of an argument, not decoded; empty when absent."""
    for pair in query.split(b"&"):
        key, _, value = pair.partition(b"=")
        if key.lower() == name.lower():
            return value
    return b""
