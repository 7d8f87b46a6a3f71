"""Counters of one process as values that add up: what workers report, and what the status is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec

from services.balancer.core.groups import Group, passive
from services.balancer.core.peers import Peer, PeerStats
from services.balancer.core.roster import Count, Passive

if TYPE_CHECKING:
    from services.balancer.plane.engine import Engine, Totals

_TOTALS = ("accepts", "refused", "requests", "client_aborts", "no_live")
_SUMMED = (
    "requests", "sent", "received", "failures", "unavail", "connects", "retried", "checks", "check_fails", "unhealthy",
)  # fmt: skip


class PeerFigures(msgspec.Struct, kw_only=True):
    """One peer in one process, or in all. ``out``: passive checks keep requests away, for ``seconds_out`` still."""

    requests: Count = 0
    codes: dict[int, Count] = {}
    sent: Count = 0
    received: Count = 0
    failures: Count = 0
    unavail: Count = 0
    connects: Count = 0
    retried: Count = 0
    checks: Count = 0
    check_fails: Count = 0
    unhealthy: Count = 0
    last_check_passed: bool | None = None
    last_check_note: str = ""
    timed: Count = 0  # requests that the times stand for
    header_time_s: float = 0.0
    response_time_s: float = 0.0
    active: int = 0
    passive: Passive = Passive()
    out: bool = False
    seconds_out: float = 0.0

    def add(self, other: PeerFigures) -> None:
        """Counters add up, times are weighed by their requests; one process that keeps away is enough to be out.

        Of passive states the one with more failures counts, or the fresher one.
        """
        self.timed += other.timed
        if other.timed:
            share = other.timed / self.timed
            self.header_time_s += (other.header_time_s - self.header_time_s) * share
            self.response_time_s += (other.response_time_s - self.response_time_s) * share
        for name in _SUMMED:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.codes = _added(self.codes, other.codes)
        self.active += other.active
        self.passive = max(self.passive, other.passive, key=lambda known: (known.fails, known.checked))
        self.out = self.out or other.out
        self.seconds_out = max(self.seconds_out, other.seconds_out)
        if other.last_check_passed is not None:
            self.last_check_passed, self.last_check_note = other.last_check_passed, other.last_check_note

    def since(self, before: PeerFigures) -> PeerFigures:
        """Counters of the time after ``before``."""
        return PeerFigures(
            codes=_less(self.codes, before.codes),
            **{name: max(0, getattr(self, name) - getattr(before, name)) for name in _SUMMED},
        )

    def add_to(self, stats: PeerStats) -> None:
        """Have a server that is served from here begin with these counters."""
        for name in _SUMMED:
            setattr(stats, name, getattr(stats, name) + getattr(self, name))
        stats.codes = _added(stats.codes, self.codes)
        if self.timed:
            stats.header_time_s, stats.response_time_s = self.header_time_s, self.response_time_s
        if self.last_check_passed is not None:
            stats.last_check_passed, stats.last_check_note = self.last_check_passed, self.last_check_note


class GroupFigures(msgspec.Struct, kw_only=True):
    """One group; peers by their id."""

    queued: int = 0
    idle: int = 0
    peers: dict[int, PeerFigures] = {}


class Figures(msgspec.Struct, kw_only=True):
    """A whole process, or all of them."""

    accepts: Count = 0
    refused: Count = 0
    requests: Count = 0
    client_aborts: Count = 0
    no_live: Count = 0
    codes: dict[int, Count] = {}
    busy: int = 0
    idle: int = 0
    groups: dict[str, GroupFigures] = {}

    def add(self, other: Figures) -> None:
        for name in (*_TOTALS, "busy", "idle"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.codes = _added(self.codes, other.codes)
        for name, theirs in other.groups.items():
            group = self.groups.setdefault(name, GroupFigures())
            group.queued += theirs.queued
            group.idle += theirs.idle
            for peer_id, peer in theirs.peers.items():
                group.peers.setdefault(peer_id, PeerFigures()).add(peer)

    def totals(self) -> Figures:
        """The counters of the whole alone."""
        return Figures(codes=dict(self.codes), **{name: getattr(self, name) for name in _TOTALS})

    def since(self, before: Figures) -> Figures:
        """Those of the time after ``before``."""
        more = {name: max(0, getattr(self, name) - getattr(before, name)) for name in _TOTALS}
        return Figures(codes=_less(self.codes, before.codes), **more)

    def ended(self) -> Figures:
        """What stays of a process that has ended: its counters, nothing of the moment."""
        left = Figures()
        left.add(self)
        left.busy = left.idle = 0
        for group in left.groups.values():
            group.queued = group.idle = 0
            for peer in group.peers.values():
                peer.active = peer.timed = 0
                peer.header_time_s = peer.response_time_s = 0.0
                peer.passive = Passive()
                peer.out, peer.seconds_out = False, 0.0
        return left


def total(each: Iterable[Figures]) -> Figures:
    """The sum over processes."""
    result = Figures()
    for figures in each:
        result.add(figures)
    return result


def engine_figures(engine: Engine) -> Figures:
    """Those of a data plane, now."""
    busy = sum(client.exchange is not None for client in engine.clients)
    totals, now = engine.totals, engine.time()
    return Figures(
        **{name: getattr(totals, name) for name in _TOTALS},
        codes={status: count for status, count in enumerate(totals.codes) if count},
        busy=busy,
        idle=len(engine.clients) - busy,
        groups={
            name: GroupFigures(queued=len(pool.waiting), idle=pool.idle, peers=peer_figures(pool.group, now))
            for name, pool in engine.pools.items()
        },
    )


def count(totals: Totals, figures: Figures) -> None:
    """Have a data plane begin with what another one counted."""
    for name in _TOTALS:
        setattr(totals, name, getattr(totals, name) + getattr(figures, name))
    for status, more in figures.codes.items():
        if 0 <= status < len(totals.codes):
            totals.codes[status] += more


def group_figures(groups: Mapping[str, Group], now: float) -> Figures:
    """Those of a process that has groups but serves no requests: checks and shared state."""
    return Figures(groups={name: GroupFigures(peers=peer_figures(group, now)) for name, group in groups.items()})


def peer_figures(group: Group, now: float) -> dict[int, PeerFigures]:
    group.observe()
    return {peer.id: _peer(group, peer, now) for peer in group.peers}


def _peer(group: Group, peer: Peer, now: float) -> PeerFigures:
    stats, out = peer.stats, peer.unavailable(int(now))
    return PeerFigures(
        codes=dict(stats.codes),
        last_check_passed=stats.last_check_passed,
        last_check_note=stats.last_check_note,
        timed=max(1, stats.requests) if stats.header_time_s else 0,
        header_time_s=stats.header_time_s,
        response_time_s=stats.response_time_s,
        active=group.own_conns(peer),
        passive=passive(peer),
        out=out,
        seconds_out=max(0.0, peer.fail_timeout_s - (now - peer.checked)) if out else 0.0,
        **{name: getattr(stats, name) for name in _SUMMED},
    )


def _added(mine: Mapping[int, int], theirs: Mapping[int, int]) -> dict[int, int]:
    return dict(Counter(mine) + Counter(theirs))


def _less(mine: Mapping[int, int], theirs: Mapping[int, int]) -> dict[int, int]:
    return dict(Counter(mine) - Counter(theirs))
