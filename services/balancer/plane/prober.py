"""Active checks at work: one small task per peer and check, reconciled with the groups after every change."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from services.balancer.core.addresses import host_and_port, unix_path
from services.balancer.core.groups import Group
from services.balancer.core.health import CheckSettings, Tally
from services.balancer.core.peers import Peer, Verdict
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
        self._tasks: dict[Key, tuple[CheckSettings, asyncio.Task[None]]] = {}
        self._tallies: dict[Key, Tally] = {}
        self._random = random.Random()

    def reconcile(self) -> None:
        """Start checks that should run, stop those that should not; the tallies of the rest go on."""
        wanted: dict[Key, tuple[Group, Peer, CheckSettings]] = {}
        for group in self._groups():
            for peer in group.peers:
                for index, check in enumerate(group.settings.checks):
                    wanted[(group.name, peer.id, index)] = (group, peer, check)
        for key in [key for key, (check, _) in self._tasks.items() if key not in wanted or wanted[key][2] != check]:
            self._tasks.pop(key)[1].cancel()
        for key in [key for key in self._tallies if key not in wanted]:
            del self._tallies[key]
        for key, (group, peer, check) in wanted.items():
            if key not in self._tasks:
                self._tallies.setdefault(key, Tally(peer.verdict))
                self._tasks[key] = (check, asyncio.create_task(self._watch(key, group, peer, check)))

    async def close(self) -> None:
        tasks = [task for _, task in self._tasks.values()]
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, key: Key, group: Group, peer: Peer, check: CheckSettings) -> None:
        options = connect_options(check.tls)
        while True:
            if not peer.down:
                complaint = await probe(peer.address, check, options)
                self._record(key, group, peer, check, complaint)
            await asyncio.sleep(check.interval_s + self._random.uniform(0, check.jitter_s))

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
