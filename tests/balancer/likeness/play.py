"""One plan before both: the same file, the same requests, and what is not the same."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from services.common.settings import SettingsError
from tests.balancer.likeness.allowed import reason
from tests.balancer.likeness.asked import Asked
from tests.balancer.likeness.conf import LOG
from tests.balancer.likeness.plan import Plan
from tests.balancer.likeness.servers import Got, Servers
from tests.balancer.likeness.told import PAGE, Told, comparable, spaced, told, without_port
from tests.balancer.test_nginx_parity import Front, both

TOP = """
worker_processes 1; pid {dir}/pid; error_log {dir}/error.log; daemon off; master_process off;
events {{ worker_connections 512; }}
http {{
client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3; uwsgi_temp_path {dir}/t4;
scgi_temp_path {dir}/t5;
{http}
}}
"""

NEGLIGIBLE = ("connection: close", "content-length: ", "transfer-encoding: ")
UNSAFE = re.compile("[^!-~]")
SEPARATOR = "^^"
NAMES = LOG.partition("'")[2].rstrip("'").split(SEPARATOR)


@dataclass(frozen=True, slots=True)
class Seen:
    """What one of the two made of a request: the answer, what upstreams were asked, and the lines of the log."""

    answer: Told
    asked: tuple[Got, ...]
    logged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """A request that was treated in two ways, or a file that only one of the two takes."""

    what: str
    request: Asked | None
    theirs: object
    ours: object

    def __str__(self) -> str:
        return f"{self.what} differs\n    {self.request}\n  nginx: {self.theirs}\n  ours:  {self.ours}"


@dataclass(frozen=True, slots=True)
class Result:
    """``excused`` counts the differences that are on purpose, by their reasons."""

    plan: Plan
    differences: tuple[Difference, ...]
    excused: dict[str, int] = field(default_factory=dict)


@contextlib.contextmanager
def _directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="likeness-") as name:
        Path(name).chmod(0o755)  # nginx gives up what rights it has
        yield Path(name)


async def play(plan: Plan, upstreams: Servers) -> Result:
    text = plan.text
    for name, address in upstreams.addresses.items():
        text = text.replace(f"ADDRESS_{name}", address)
    with _directory() as directory:
        seen: list[list[Seen]] = []
        try:
            async with both(directory, text, TOP, upstreams.port) as fronts:
                seen += [[await _ask(front, asked, upstreams) for front in fronts] for asked in plan.requests]
        except SettingsError as refused:
            return Result(plan, (Difference("the file", None, "taken", str(refused)),))
        logs = [_by_number(front, upstreams) for front in fronts]
    return _result(plan, seen, logs)


def _result(plan: Plan, seen: list[list[Seen]], logs: list[dict[str, list[str]]]) -> Result:
    """What is different, as far as both know the same of the servers."""
    differences: list[Difference] = []
    excused: dict[str, int] = {}
    for asked, pair in zip(plan.requests, seen, strict=True):
        theirs, ours = (
            replace(one, logged=tuple(sorted(log.get(str(asked.number), ())))) for one, log in zip(pair, logs, strict=True)
        )
        masked = _told_otherwise(asked, theirs, ours)
        theirs, ours = (replace(one, logged=tuple(_without(line, masked) for line in one.logged)) for one in (theirs, ours))
        for difference in _differences(asked, theirs, ours):
            why = reason(difference.what, asked, theirs, ours)
            if why:
                excused[why] = excused.get(why, 0) + 1
            else:
                differences.append(difference)
        if [got.server for got in theirs.asked] != [got.server for got in ours.asked]:
            break  # from here on, the two know different things of the servers
    return Result(plan, tuple(differences), excused)


async def _ask(front: Front, asked: Asked, upstreams: Servers) -> Seen:
    client = await front.client()
    try:
        client.send(asked.wire)
        answer = await told(client, bodiless=asked.method == "HEAD")
    finally:
        client.writer.transport.abort()
    lines = tuple(without_port(line, front.port) for line in answer.lines)
    answer = replace(answer, lines=lines, body=without_port(answer.body, front.port))
    for name, address in upstreams.addresses.items():
        answer = replace(answer, lines=tuple(line.replace(address, name) for line in answer.lines))
    return Seen(comparable(answer, asked.minor, bodiless=asked.method == "HEAD"), tuple(map(_normal, upstreams.take())))


def _normal(got: Got) -> Got:
    """But for what is not the same on purpose: that a connection ends is said or not; a body that came in chunks may go on
    as such, or with its length; and what would end a target is escaped.
    """
    lines = sorted(spaced(line) for line in got.lines if not line.lower().startswith(NEGLIGIBLE))
    method, _, rest = got.line.partition(" ")
    target, _, version = rest.rpartition(" ")
    return replace(got, line=f"{method} {UNSAFE.sub(_escaped, target)} {version}", lines=tuple(lines))


def _escaped(found: re.Match[str]) -> str:
    return f"%{ord(found[0]):02X}"


def _told_otherwise(asked: Asked, theirs: Seen, ours: Seen) -> set[str]:
    """Variables whose values are each one's own in the log: sizes and types of pages, interim answers, which nginx counts,
    and the length of a body that was not read to its end.
    """
    masked: set[str] = set()
    if theirs.answer.body == ours.answer.body == PAGE:
        masked |= {"$body_bytes_sent", "$sent_http_content_type", "$sent_http_content_length"}
    if asked.expects:
        masked.add("$body_bytes_sent")
    if not ours.asked or (asked.framing == "chunked" and "Connection: close" in ours.answer.lines):
        masked |= {"$content_length", "$request_length"}
    return masked


def _without(line: str, masked: set[str]) -> str:
    values = zip(NAMES[1:], line.split(SEPARATOR), strict=False)
    return SEPARATOR.join("*" if name in masked else value for name, value in values)


def _dashless(line: str) -> str:
    """What is there but empty is logged as a dash, like what is not there."""
    return SEPARATOR.join("" if value == "-" else value for value in line.split(SEPARATOR))


def _by_number(front: Front, upstreams: Servers) -> dict[str, list[str]]:
    """The lines of a log by the numbers of requests, which stand in front."""
    found: dict[str, list[str]] = {}
    for line in front.log.read_text("latin-1").splitlines() if front.log.exists() else []:
        number, _, rest = _dashless(line).partition(SEPARATOR)
        for name, address in upstreams.addresses.items():
            rest = rest.replace(address, name)
        found.setdefault(number, []).append(without_port(rest, front.port))
    return found


def _differences(asked: Asked, theirs: Seen, ours: Seen) -> Iterator[Difference]:
    if theirs.answer != ours.answer:
        yield Difference("the answer", asked, theirs.answer, ours.answer)
    if theirs.asked != ours.asked:
        yield Difference("what upstreams were asked", asked, *_unlike(theirs.asked, ours.asked))
    elif theirs.answer == ours.answer and theirs.logged != ours.logged:
        yield Difference("the log", asked, *_unlike_fields(theirs.logged, ours.logged))


def _unlike(theirs: tuple[Got, ...], ours: tuple[Got, ...]) -> tuple[object, object]:
    """What is different of requests that are nearly the same."""
    if len(theirs) != len(ours):
        return theirs, ours
    return _more(theirs, ours), _more(ours, theirs)


def _more(these: tuple[Got, ...], those: tuple[Got, ...]) -> object:
    pairs = zip(these, those, strict=True)
    return [(one.server, one.line, set(one.lines) - set(other.lines), one.body) for one, other in pairs]


def _unlike_fields(theirs: tuple[str, ...], ours: tuple[str, ...]) -> tuple[object, object]:
    """The variables whose values are not the same."""
    if len(theirs) != len(ours):
        return theirs, ours
    unlike = [
        (name, one, other)
        for mine, yours in zip(theirs, ours, strict=True)
        for name, one, other in zip(NAMES[1:], mine.split(SEPARATOR), yours.split(SEPARATOR), strict=False)
        if one != other
    ]
    return [(name, one) for name, one, _ in unlike], [(name, other) for name, _, other in unlike]
