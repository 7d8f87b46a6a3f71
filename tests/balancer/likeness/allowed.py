"""Differences on purpose: each with the reason that the documents give (docs/balancer.md, its last section)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.balancer.likeness.asked import Asked

if TYPE_CHECKING:
    from tests.balancer.likeness.play import Seen

Judge = Callable[[str, Asked, "Seen", "Seen"], bool]

_OWN = ("proxy-connection", "keep-alive", "te", "upgrade", "connection")


def _hops(what: str, asked: Asked, theirs: Seen, ours: Seen) -> bool:
    named = {
        option.strip().lower()
        for field in asked.fields if field.lower().startswith("connection:")
        for option in field.partition(":")[2].split(",")
    }  # fmt: skip
    if len(theirs.asked) != len(ours.asked) or not what.startswith("what"):
        return False
    more = [set(one.lines) - set(other.lines) for one, other in zip(theirs.asked, ours.asked, strict=True)]
    return all(line.partition(":")[0].lower() in {*_OWN, *named} for lines in more for line in lines)


def _unread(what: str, asked: Asked, theirs: Seen, ours: Seen) -> bool:
    return asked.method == "TRACE" or (theirs.answer.status == ours.answer.status and ours.answer.status in (400, 405, 414))


def _but_for_the_connection(seen: Seen) -> set[str]:
    return {line for line in seen.answer.lines if line.lower()[:10] not in ("keep-alive", "connection")}


REASONS: dict[str, Judge] = {
    "of a request that is refused no more than its first line is known": _unread,
    "conditions and ranges are for upstreams to look at": lambda what, asked, theirs, ours: (
        theirs.answer.status == 412 and ours.answer.status == 200
    ),
    "fields that belong to a connection stay behind": _hops,
    "nginx never answers where an error of its own leads to a page, once it has read of the body": (
        lambda what, asked, theirs, ours: theirs.answer.end == "silent" and ours.answer.end != "silent"
    ),
    "files are not served": lambda what, asked, theirs, ours: (
        ours.answer.status == 404 and theirs.answer.status in (200, 301, 403, 404, 405) and not theirs.asked + ours.asked
    ),
    "files are not served, so no method is wrong for them": lambda what, asked, theirs, ours: (
        theirs.answer.status == 405 and not theirs.asked and asked.method not in ("GET", "HEAD", "POST")
    ),
    "that there is no body is said, where nginx ends the connection": lambda what, asked, theirs, ours: (
        theirs.answer == replace(ours.answer, end="closed") and asked.minor == 0 and asked.status in ("204", "304")
    ),
    "a connection ends with an answer of our own when a body is still coming": lambda what, asked, theirs, ours: (
        asked.body != b"" and not ours.asked and "Connection: close" in ours.answer.lines
        and _but_for_the_connection(theirs) == _but_for_the_connection(ours)
    ),
    "no named location is asked for a request whose body is too large": lambda what, asked, theirs, ours: (
        413 in (theirs.answer.status, ours.answer.status) and asked.body != b""
        and ("Connection: close" in ours.answer.lines or asked.framing == "chunked")
    ),
    "who asks is told to send a body when it is wanted, and never otherwise": lambda what, asked, theirs, ours: (
        asked.expects and replace(theirs.answer, interim=()) == replace(ours.answer, interim=())
    ),
}


def reason(what: str, asked: Asked, theirs: Seen, ours: Seen) -> str:
    """Why this difference is meant to be; nothing when it is not."""
    return next((why for why, judge in REASONS.items() if judge(what, asked, theirs, ours)), "")
