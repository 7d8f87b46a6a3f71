"""Looks at a balancer several times a second: which servers does it keep traffic away from?

Ours says so on its status address and HAProxy on its socket. nginx has no such page: its log says when it disables a
server, and it then keeps away from it until `fail_timeout` whole seconds of its clock have passed.
"""

from __future__ import annotations

import asyncio
import csv
import io
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from deploy.lab.compare.history import Eviction
from deploy.lab.readiness import http_get
from services.common.settings import Address

LOOK_EVERY_S = 0.05
LOOK_WITHIN_S = 1.0
IN_SERVICE = ("up", "draining", "checking")


class _Peer(msgspec.Struct, frozen=True):
    address: str
    state: str


class _Group(msgspec.Struct, frozen=True):
    peers: list[_Peer]


class _Status(msgspec.Struct, frozen=True):
    upstreams: dict[str, _Group]


class BalancerEye:
    """Reads /api/status of balancer-lite."""

    def __init__(self, status: Address, servers: Mapping[str, Address]) -> None:
        self._status = status
        self._names = {str(address): name for name, address in servers.items()}

    async def look(self) -> set[str]:
        """The servers that are out."""
        return balancer_out((await http_get(self._status, "/api/status"))[1], self._names)


class HaproxyEye:
    """Asks `show stat` on HAProxy's socket."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def look(self) -> set[str]:
        reader, writer = await asyncio.open_unix_connection(str(self._socket))
        try:
            writer.write(b"show stat\n")
            return haproxy_out((await reader.read()).decode())
        finally:
            writer.close()


class NginxEye:
    """Follows nginx's error log."""

    def __init__(self, log: Path, servers: Mapping[str, Address], fail_timeout_s: float) -> None:
        self._log = log
        self._servers = servers
        self._fail_timeout_s = fail_timeout_s
        self._read = 0
        self._until: dict[str, float] = {}

    async def look(self) -> set[str]:
        now = time.time()  # the clock nginx counts whole seconds of
        with self._log.open("rb") as file:
            file.seek(self._read)
            # A line that is still being written is read the next time.
            complete = file.read().rpartition(b"\n")[0]
        self._read += len(complete) + 1 if complete else 0
        for name in nginx_disabled(complete.decode(errors="replace"), self._servers):
            self._until[name] = int(now) + self._fail_timeout_s + 1
        return {name for name, until in self._until.items() if until > now}


Eye = BalancerEye | HaproxyEye | NginxEye


def balancer_out(answer: bytes, names: Mapping[str, str]) -> set[str]:
    """The names of the servers that balancer-lite's status has as unavailable or unhealthy."""
    groups = msgspec.json.decode(answer, type=_Status).upstreams.values()
    return {names[peer.address] for group in groups for peer in group.peers if peer.state not in IN_SERVICE}


def haproxy_out(answer: str) -> set[str]:
    """The servers that HAProxy's statistics (CSV) have as down. "UP 1/2" is one that is still in."""
    rows = csv.DictReader(io.StringIO(answer.removeprefix("# ")))
    return {
        row["svname"]
        for row in rows
        if row["svname"] not in ("FRONTEND", "BACKEND") and row["status"].startswith("DOWN")
    }


def nginx_disabled(log: str, servers: Mapping[str, Address]) -> list[str]:
    """The servers that lines of nginx's error log say were disabled."""
    return [
        name
        for line in log.splitlines()
        if "temporarily disabled" in line
        for name, address in servers.items()
        if f"//{address}/" in line
    ]


def steps(before: set[str], now: set[str], at_s: float) -> list[Eviction]:
    """What has changed between two looks."""
    return [Eviction(at_s, server, server in now) for server in sorted(before ^ now)]


async def watch(eye: Eye, clock: Callable[[], float]) -> list[Eviction]:
    """Looks until it is cancelled, and then returns all it saw. `clock` gives seconds since the start of the run."""
    seen: list[Eviction] = []
    out: set[str] = set()
    try:
        while True:
            try:
                async with asyncio.timeout(LOOK_WITHIN_S):
                    now = await eye.look()
                seen += steps(out, now, clock())
                out = now
            except (OSError, EOFError, TimeoutError, msgspec.DecodeError):
                pass  # a balancer too busy to say; the next look tells
            await asyncio.sleep(LOOK_EVERY_S)
    except asyncio.CancelledError:
        return seen
