"""What a program leaves to the one that takes over from it: changes of groups, verdicts, failures, counters.

It travels as JSON with a version. A program that does not understand what it is left begins anew.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import msgspec

from services.balancer.core.roster import Passive
from services.balancer.fleet import Fleet
from services.balancer.status.changes import Changes, Saved
from services.balancer.status.figures import Figures, PeerFigures

VERSION = 2
"""Version 1 had no counters and no passive state."""


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """Of the whole program, and of servers, by group and address, with their passive state."""

    totals: Figures = msgspec.field(default_factory=Figures)
    peers: dict[str, dict[str, PeerFigures]] = {}


class Estate(Saved, frozen=True, kw_only=True):
    """All of it; ``groups`` are those changed at run time."""

    version: int = 1
    counters: Counters = Counters()


class _Version(msgspec.Struct):
    version: int = 1


async def estate(fleet: Fleet, changes: Changes) -> Estate:
    """What a fleet knows now."""
    saved = changes.saved()
    return Estate(version=VERSION, groups=saved.groups, verdicts=saved.verdicts, counters=await counters(fleet))


async def counters(fleet: Fleet) -> Counters:
    figures = await fleet.figures()
    return Counters(
        totals=figures.totals(),
        peers={
            name: {
                peer.address: figures.groups[name].peers[peer.id]
                for peer in group.peers
                if name in figures.groups and peer.id in figures.groups[name].peers
            }
            for name, group in fleet.groups.items()
        },
    )


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
    now = int(fleet.time())
    for name, group in fleet.groups.items():
        known = left.counters.peers.get(name, {})
        group.recall({address: _not_later(figures.passive, now) for address, figures in known.items()})
    add(fleet, left.counters)


def add(fleet: Fleet, counted: Counters) -> None:
    """Add up what another fleet counted."""
    fleet.count(counted.totals)
    for name, group in fleet.groups.items():
        for peer in group.peers:
            seen = counted.peers.get(name, {}).get(peer.address)
            if seen is not None:
                seen.add_to(peer.stats)


def since(now: Counters, before: Counters) -> Counters:
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
