"""Request paths: the decoded form that locations are matched against, and query arguments."""

from __future__ import annotations

import re

CONTROLS = bytes(range(32)) + b"\x7f"
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")


class BadPath(ValueError):
    """A path that climbs above the root, or holds a malformed escape or a control character."""


def normalise(path: bytes) -> bytes:
    """Decode escapes, resolve ``.`` and ``..``, merge slashes (nginx ``$uri``); raises BadPath."""
    if path.find(b"%") >= 0:  # ``in`` makes and drops an exception for every answer
        if path.count(b"%") != len(_ESCAPE.findall(path)):
            raise BadPath("malformed escape in the path")
        path = _ESCAPE.sub(lambda found: bytes((int(found[1], 16),)), path)
        if len(path.translate(None, CONTROLS)) != len(path):
            # Decoded paths go into headers by way of $uri and captures, where a CR or LF would begin a new one.
            raise BadPath("control character in the path")
    if path.find(b"//") < 0 and path.find(b"/.") < 0:
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


_NOT_IN_REDIRECTS = re.compile(rb'[\x00-\x20"#%\x7f-\xff]')
_NOT_IN_QUERIES = re.compile(rb'[\x00-\x20"#%&+;<>?\\^`{|}\x7f-\xff]')
_NOT_IN_TARGETS = re.compile(rb"[\x00-\x20\x7f-\xff]")
_NOT_IN_PATHS = re.compile(rb'[\x00-\x20"#%<>?\\^`{|}\x7f-\xff]')


def escape_redirect(text: bytes) -> bytes:
    """A decoded text as it may stand in the address of a redirect (nginx's escaping of captures)."""
    return _NOT_IN_REDIRECTS.sub(_escaped, text)


def escape_query(text: bytes) -> bytes:
    """A decoded text as it may stand in a query."""
    return _NOT_IN_QUERIES.sub(_escaped, text)


def escape_path(path: bytes) -> bytes:
    """A decoded path as it goes to an upstream."""
    return _NOT_IN_PATHS.sub(_escaped, path)


def escape_target(text: bytes) -> bytes:
    """A text as part of a request line: what is escaped stays so, what would end the target is escaped."""
    return _NOT_IN_TARGETS.sub(_escaped, text)


def _escaped(found: re.Match[bytes]) -> bytes:
    return b"%%%02X" % found[0][0]
