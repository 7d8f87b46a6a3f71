"""Reads each balancer's log while it runs: which servers does it say it keeps traffic away from?

This is the balancer's own account, got from all in the same way and at no cost to them. Active checks say when a server is
down and when it is up again. Passive ones (ours and nginx alike) say only that they disabled it; they then keep away from
it until `fail_timeout` whole seconds of the clock have passed.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path

from deploy.lab.compare.history import Eviction
from services.common.settings import Address

LOOK_EVERY_S = 0.025

DISABLED = re.compile(r"upstream temporarily disabled .*peer=(\S+)")
CHECKED = re.compile(r"health changed .*peer=(\S+) verdict=(healthy|unhealthy)")
NGINX_DISABLED = re.compile(r'server temporarily disabled .*upstream: "http://([^/"]+)/')
HAPROXY_CHECKED = re.compile(r"Server ui/(\S+) is (UP|DOWN)")


class Verdict(Enum):
    """What a balancer says of a server."""

    DISABLED = "disabled"
    """By passive checks, for `fail_timeout`."""
    DOWN = "down"
    UP = "up"


Said = tuple[str, Verdict]
"""Name or address of a server, and the verdict."""


def balancer_said(line: str) -> Said | None:
    """A line of balancer-lite's log."""
    if found := DISABLED.search(line):
        return found[1], Verdict.DISABLED
    found = CHECKED.search(line)
    return (found[1], Verdict.UP if found[2] == "healthy" else Verdict.DOWN) if found else None


def nginx_said(line: str) -> Said | None:
    """A line of nginx's error log."""
    found = NGINX_DISABLED.search(line)
    return (found[1], Verdict.DISABLED) if found else None


def haproxy_said(line: str) -> Said | None:
    """A line of what HAProxy says on its standard error."""
    found = HAPROXY_CHECKED.search(line)
    return (found[1], Verdict[found[2]]) if found else None


READERS: Mapping[str, Callable[[str], Said | None]] = {"nginx": nginx_said, "haproxy": haproxy_said}
"""By arrangement; all others are balancer-lite's."""


class Account:
    """Which servers are out, from verdicts and the time."""

    def __init__(self, fail_timeout_s: float) -> None:
        self._fail_timeout_s = fail_timeout_s
        self._down: set[str] = set()
        self._until_s: dict[str, float] = {}

    def take(self, server: str, verdict: Verdict, now_s: float) -> None:
        """`now_s` is the time of day, whose whole seconds passive checks count."""
        match verdict:
            case Verdict.DISABLED:
                self._until_s[server] = int(now_s) + self._fail_timeout_s + 1
            case Verdict.DOWN:
                self._down.add(server)
            case Verdict.UP:
                self._down.discard(server)

    def out(self, now_s: float) -> set[str]:
        return self._down | {server for server, until_s in self._until_s.items() if until_s > now_s}


class Eye:
    """Follows the log of one balancer."""

    def __init__(self, arrangement: str, log: Path, servers: Mapping[str, Address], fail_timeout_s: float) -> None:
        self._said = READERS.get(arrangement, balancer_said)
        self._log = log
        self._names = {name: name for name in servers} | {str(address): name for name, address in servers.items()}
        self._account = Account(fail_timeout_s)
        self._read = 0

    def look(self) -> set[str]:
        """The servers that are out now."""
        now_s = time.time()
        with self._log.open("rb") as file:
            file.seek(self._read)
            # A line that is still being written is read the next time.
            complete = file.read().rpartition(b"\n")[0]
        self._read += len(complete) + 1 if complete else 0
        for line in complete.decode(errors="replace").splitlines():
            if said := self._said(line):
                self._account.take(self._names[said[0]], said[1], now_s)
        return self._account.out(now_s)


def steps(before: set[str], now: set[str], at_s: float) -> list[Eviction]:
    """What has changed between two looks."""
    return [Eviction(at_s, server, server in now) for server in sorted(before ^ now)]


async def watch(eye: Eye, clock: Callable[[], float]) -> list[Eviction]:
    """Looks until it is cancelled, and then returns all it saw. `clock` gives seconds since the start of the run."""
    seen: list[Eviction] = []
    out: set[str] = set()
    try:
        while True:
            now = eye.look()
            seen += steps(out, now, clock())
            out = now
            await asyncio.sleep(LOOK_EVERY_S)
    except asyncio.CancelledError:
        return seen
