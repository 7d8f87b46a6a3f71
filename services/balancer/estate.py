"""What a program leaves to the one that takes over from it: changes of groups, verdicts, failures, counters, limits.

It travels as JSON with a version. A program that does not understand what it is left begins anew. What a version does not
know of is passed over, and what it does not tell is not there: the version grows when what is there means something else.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import msgspec

from services.balancer.core.groups import Group
from services.balancer.core.rates import Levels
from services.balancer.core.roster import CheckState, Count, Passive
from services.balancer.fleet import Fleet
from services.balancer.status.changes import Changes, Saved
from services.balancer.status.figures import Figures, GroupFigures, PeerFigures

VERSION = 2
"""Version 1 had no counters and no passive state."""

MAX_BUCKETS = 16384
"""How many buckets of rate limits are left at most: those that were asked for last."""

T = TypeVar("T")


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """Of the whole program, and of servers, by group and address, with their passive state and times."""

    totals: Figures = msgspec.field(default_factory=Figures)
    peers: dict[str, dict[str, PeerFigures]] = {}


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """What is in progress: client connections, and requests at servers, by group and address."""

    busy: Count = 0
    idle: Count = 0
    active: dict[str, dict[str, Count]] = {}

    def figures(self, groups: Mapping[str, Group]) -> Figures:
        """As figures of another fleet's groups."""
        return Figures(
            busy=self.busy,
            idle=self.idle,
            groups={
                name: GroupFigures(
                    peers={
                        peer.id: PeerFigures(active=self.active[name][peer.address])
                        for peer in group.peers
                        if peer.address in self.active[name]
                    }
                )
                for name, group in groups.items()
                if name in self.active
            },
        )


class Estate(Saved, frozen=True, kw_only=True):
    """All of it; ``groups`` are those changed at run time, ``checks`` are by group and address."""

    version: int = 1
    counters: Counters = Counters()
    checks: dict[str, dict[str, list[CheckState]]] = msgspec.field(default_factory=dict)
    levels: Levels | None = None


class _Version(msgspec.Struct):
    version: int = 1


async def estate(fleet: Fleet, changes: Changes) -> Estate:
    """What a fleet knows now."""
    figures, saved = await fleet.figures(), changes.saved()
    return Estate(
        version=VERSION,
        groups=saved.groups,
        verdicts=saved.verdicts,
        counters=counters(figures, fleet.groups),
        checks=fleet.prober.known(),
        levels=fleet.buckets.known(MAX_BUCKETS),
    )


def counters(figures: Figures, groups: Mapping[str, Group]) -> Counters:
    return Counters(totals=figures.totals(), peers=_by_address(figures, groups, lambda peer: peer))


def moment(figures: Figures, groups: Mapping[str, Group]) -> Moment:
    return Moment(busy=figures.busy, idle=figures.idle, active=_by_address(figures, groups, lambda peer: peer.active))


def _by_address(
    figures: Figures, groups: Mapping[str, Group], value: Callable[[PeerFigures], T]
) -> dict[str, dict[str, T]]:
    return {
        name: {
            peer.address: value(figures.groups[name].peers[peer.id])
            for peer in group.peers
            if peer.id in figures.groups[name].peers
        }
        for name, group in groups.items()
        if name in figures.groups
    }


def encode(left: Estate) -> bytes:
    return msgspec.json.encode(left)


def decode(data: bytes) -> Estate:
    """Raises ValueError for what cannot be understood, or makes no sense."""
    version = msgspec.json.decode(data, type=_Version).version
    if version > VERSION:
        raise ValueError(f"version {version} is newer than {VERSION}")
    left = msgspec.json.decode(data, type=Estate)
    left.check()
    return left


def take_up(fleet: Fleet, left: Estate) -> None:
    """Have a fleet that does not serve yet begin with what was known; changes are restored before."""
    now = fleet.time()
    for name, group in fleet.groups.items():
        known = left.counters.peers.get(name, {})
        group.recall({address: _not_later(figures.passive, int(now)) for address, figures in known.items()})
    fleet.prober.recall(left.checks)
    if left.levels is not None:
        fleet.buckets.recall(left.levels, int(now * 1000))
    add(fleet, left.counters)


def add(fleet: Fleet, counted: Counters) -> None:
    """Add up what another fleet counted."""
    fleet.count(counted.totals)
    for name, group in fleet.groups.items():
        for peer in group.peers:
            seen = counted.peers.get(name, {}).get(peer.address)
            if seen is not None:
                seen.add_to(peer.stats)


class Ledger:
    """Of one that was replaced and serves on for a while: it tells what it counts to who came after, each thing once."""

    def __init__(
        self, figures: Callable[[], Awaitable[Figures]], groups: Callable[[], Mapping[str, Group]], told: Counters
    ) -> None:
        self._figures = figures
        self._groups = groups
        self._told = told
        self._telling = asyncio.Lock()

    async def news(self) -> tuple[Counters, Moment]:
        """What was counted since this was asked for last, and what is in progress."""
        async with self._telling:
            figures, groups = await self._figures(), self._groups()
            counted, told = counters(figures, groups), self._told
            self._told = counted
            return _since(counted, told), moment(figures, groups)


class Retired:
    """A fleet that was replaced within its program, for as long as it has clients."""

    def __init__(self, fleet: Fleet, told: Counters) -> None:
        self.fleet = fleet
        self.moment = Moment()
        self._ledger = Ledger(fleet.figures, lambda: fleet.groups, told)

    async def report_to(self, heir: Fleet) -> None:
        """Have the fleet that serves now count what this one has counted."""
        counted, self.moment = await self._ledger.news()
        add(heir, counted)


def _since(now: Counters, before: Counters) -> Counters:
    """What was counted meanwhile."""
    return Counters(
        totals=now.totals.since(before.totals),
        peers={name: _peers_since(peers, before.peers.get(name, {})) for name, peers in now.peers.items()},
    )


def _peers_since(now: Mapping[str, PeerFigures], before: Mapping[str, PeerFigures]) -> dict[str, PeerFigures]:
    return {address: figures.since(before.get(address) or PeerFigures()) for address, figures in now.items()}


def _not_later(passive: Passive, now: int) -> Passive:
    """Times of a clock that ran ahead of ours would keep a server out for too long."""
    return dataclasses.replace(passive, accessed=min(passive.accessed, now), checked=min(passive.checked, now))
