"""Active checks at work: one small task per peer and check, reconciled with the groups after every change."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from services.balancer.core.addresses import host_and_port, unix_path
from services.balancer.core.groups import Group
from services.balancer.core.health import CheckSettings, Tally
from services.balancer.core.peers import Peer, Verdict
from services.balancer.core.roster import CheckState
from services.balancer.plane.probed import Probed
from services.balancer.plane.tls import connect_options
from services.balancer.wire.chunked import ChunkedScanner
from services.balancer.wire.fields import FramingError
from services.balancer.wire.outline import Framing
from services.balancer.wire.response import ResponseParser

MAX_ANSWER = 1 << 18  # body patterns look at this many bytes, as in nginx Plus

Key = tuple[str, int, int]  # group, peer id, index of the check


class Prober:
    """Keeps one task running for every peer and check; ``reconcile`` after groups changed.

    ``judged`` hears of every group in which a verdict changed.
    """

    def __init__(
        self,
        groups: Callable[[], Iterable[Group]],
        time: Callable[[], float],
        warn: Callable[..., object],
        judged: Callable[[Group], None],
    ) -> None:
        self._groups = groups
        self._time = time
        self._warn = warn
        self._judged = judged
        self._tasks: dict[Key, tuple[tuple[Group, Peer, CheckSettings], asyncio.Task[None]]] = {}
        self._tallies: dict[Key, Tally] = {}
        self._due: dict[Key, float] = {}
        self._random = random.Random()

    def reconcile(self) -> None:
        """Start checks that should run, stop those that should not; the tallies of the rest go on."""
        wanted: dict[Key, tuple[Group, Peer, CheckSettings]] = {}
        for group in self._groups():
            for peer in group.peers:
                for index, check in enumerate(group.settings.checks):
                    wanted[(group.name, peer.id, index)] = (group, peer, check)
        for key in [key for key, (what, _) in self._tasks.items() if not _same(what, wanted.get(key))]:
            self._tasks.pop(key)[1].cancel()
            del self._due[key]
        for key in [key for key in self._tallies if key not in wanted]:
            del self._tallies[key]
        for key, (group, peer, check) in wanted.items():
            if key not in self._tasks:
                self._tallies.setdefault(key, Tally(peer.verdict))
                self._due.setdefault(key, 0.0)
                self._tasks[key] = ((group, peer, check), asyncio.create_task(self._watch(key, group, peer, check)))

    def known(self) -> dict[str, dict[str, list[CheckState]]]:
        """Where every check stands, by group and address, in the order of the group's checks."""
        return {
            group.name: {
                peer.address: [self._state((group.name, peer.id, index)) for index in range(len(group.settings.checks))]
                for peer in group.peers
                if (group.name, peer.id, 0) in self._tasks
            }
            for group in self._groups()
            if group.settings.checks
        }

    def _state(self, key: Key) -> CheckState:
        tally = self._tallies[key]
        return CheckState(verdict=tally.verdict, fails=tally.fails, passes=tally.passes, due=self._due[key])

    def recall(self, known: Mapping[str, Mapping[str, Sequence[CheckState]]]) -> None:
        """Before the first ``reconcile``: go on where another prober stood, where a group has as many checks as it had."""
        for group in self._groups():
            checks = group.settings.checks
            for peer in group.peers:
                states = known.get(group.name, {}).get(peer.address, ())
                if len(states) != len(checks):
                    continue
                for index, (check, state) in enumerate(zip(checks, states, strict=True)):
                    key = (group.name, peer.id, index)
                    self._tallies[key] = Tally(state.verdict, fails=state.fails, passes=state.passes)
                    self._due[key] = min(state.due, self._time() + check.interval_s + check.jitter_s)

    async def close(self) -> None:
        tasks = [task for _, task in self._tasks.values()]
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, key: Key, group: Group, peer: Peer, check: CheckSettings) -> None:
        options = connect_options(check.tls)
        await asyncio.sleep(self._due[key] - self._time())
        while True:
            if not peer.down:
                complaint = await probe(peer.address, check, options)
                self._record(key, group, peer, check, complaint)
            wait_s = check.interval_s + self._random.uniform(0, check.jitter_s)
            self._due[key] = self._time() + wait_s
            await asyncio.sleep(wait_s)

    def _record(self, key: Key, group: Group, peer: Peer, check: CheckSettings, complaint: str) -> None:
        passed = not complaint
        stats = peer.stats
        stats.checks += 1
        stats.check_fails += not passed
        stats.last_check_passed = passed
        stats.last_check_note = complaint
        self._tallies[key].record(check, passed=passed)
        verdict = self._combined(group, peer)
        if verdict is peer.verdict:
            return
        changed = group.judge(peer, verdict, self._time())
        self._warn(
            "health changed" if changed else "health change kept back by the ejection cap",
            upstream=group.name, peer=peer.address, verdict=str(verdict), reason=complaint or "passed",
        )  # fmt: skip
        if changed:
            self._judged(group)

    def _combined(self, group: Group, peer: Peer) -> Verdict:
        """With several checks the worst verdict counts."""
        verdicts = {
            self._tallies[(group.name, peer.id, index)].verdict
            for index in range(len(group.settings.checks))
            if (group.name, peer.id, index) in self._tallies
        }
        for verdict in (Verdict.UNHEALTHY, Verdict.CHECKING):
            if verdict in verdicts:
                return verdict
        return Verdict.HEALTHY


def _same(what: tuple[Group, Peer, CheckSettings], wanted: tuple[Group, Peer, CheckSettings] | None) -> bool:
    """A group may have been made anew, with peers that have the numbers of the old ones."""
    return wanted is not None and what[0] is wanted[0] and what[1] is wanted[1] and what[2] == wanted[2]


async def probe(address: str, check: CheckSettings, options: Mapping[str, Any] | None = None) -> str:
    """Ask a server once, in the way its clients do; returns why it does not pass, or an empty string."""
    host = check.host or ("localhost" if unix_path(address) else address)
    request = (
        f"GET {check.uri} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: balancer-check\r\n"
        "Accept: */*\r\nConnection: close\r\n\r\n"
    ).encode()
    began = time.monotonic()
    try:
        async with asyncio.timeout(check.timeout_s):
            data = await _fetch(address, check.port, request, options or {})
    except TimeoutError:
        return "timed out"
    except ssl.SSLError as error:
        return f"no TLS: {error.reason or error}"
    except OSError as error:
        return error.strerror or "connection failed"
    try:
        return _judge(data, check, address, request, time.monotonic() - began)
    except FramingError as error:
        return f"malformed answer: {error.reason}"


async def _fetch(address: str, other_port: int, request: bytes, options: Mapping[str, Any]) -> bytes:
    if unix_path(address):
        reader, writer = await asyncio.open_unix_connection(unix_path(address), limit=MAX_ANSWER, **options)
    else:
        host, port = host_and_port(address)
        reader, writer = await asyncio.open_connection(host, other_port or port, limit=MAX_ANSWER, **options)
    try:
        writer.write(request)
        data = b""
        while len(data) < MAX_ANSWER and (piece := await reader.read(MAX_ANSWER)):
            data += piece
            if _complete(data):
                break
        return data
    finally:
        writer.close()


def _complete(data: bytes) -> bool:
    """Whether an answer with a length is all there, so that a server that keeps connections is not waited for."""
    try:
        head = ResponseParser().read(data)
        if head is None:
            return False
        size = len(head.raw)
        if head.framing is Framing.CHUNKED:
            scanner = ChunkedScanner()
            scanner.feed(data[size:])
            return scanner.done
    except FramingError:
        return True
    return head.framing is not Framing.CLOSE and len(data) - size >= head.length


def _judge(data: bytes, check: CheckSettings, address: str, request: bytes, elapsed_s: float) -> str:
    head = ResponseParser().read(data)
    if head is None:
        return "no answer"
    body = data[len(head.raw) :]
    if head.framing is Framing.CHUNKED:
        payload: list[bytes] = []
        ChunkedScanner().feed(body, payload)
        body = b"".join(payload)
    headers = {field.name.decode("latin-1"): field.value.decode("latin-1") for field in head.fields}
    complaint = check.match.complaint(head.status, headers, body)
    return complaint or check.match.missing(Probed(address, request, head, len(body), elapsed_s))
