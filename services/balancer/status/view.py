"""A snapshot of the balancer as values; the JSON of ``/api/status`` is exactly this."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from services.balancer.core.groups import Group
from services.balancer.core.peers import Peer, State

if TYPE_CHECKING:
    from services.balancer.plane.engine import Engine
    from services.balancer.plane.pool import Pool


class CheckView(msgspec.Struct, frozen=True, kw_only=True):
    """Active checks of one peer."""

    verdict: str
    checks: int
    fails: int
    unhealthy: int
    last_passed: bool | None
    note: str


class PeerView(msgspec.Struct, frozen=True, kw_only=True):
    """One peer; times in seconds, sizes in bytes. ``unavail`` counts passive ejections."""

    id: int
    address: str
    state: State
    weight: int
    backup: bool
    active: int
    max_conns: int
    requests: int
    responses: dict[str, int]
    codes: dict[str, int]
    sent: int
    received: int
    fails: int
    failures: int
    unavail: int
    connects: int
    header_time_s: float
    response_time_s: float
    seconds_out: float
    check: CheckView | None


class GroupView(msgspec.Struct, frozen=True, kw_only=True):
    """One upstream group."""

    method: str
    panic: bool
    queued: int
    idle_connections: int
    peers: list[PeerView]


class ConnectionsView(msgspec.Struct, frozen=True, kw_only=True):
    """Client connections."""

    accepted: int
    active: int
    idle: int
    refused: int


class StatusView(msgspec.Struct, frozen=True, kw_only=True):
    """The whole process."""

    pid: int
    uptime_s: float
    connections: ConnectionsView
    requests: int
    statuses: dict[str, int]
    client_aborts: int
    no_live: int
    listeners: dict[str, int]
    upstreams: dict[str, GroupView]


def status_view(engine: Engine, started_at: float, ports: dict[str, int]) -> StatusView:
    """Take the snapshot; ``started_at`` in the loop's time."""
    busy = sum(client.exchange is not None for client in engine.clients)
    totals = engine.totals
    return StatusView(
        pid=os.getpid(),
        uptime_s=round(engine.time() - started_at, 3),
        connections=ConnectionsView(
            accepted=totals.accepts, active=busy, idle=len(engine.clients) - busy, refused=totals.refused
        ),
        requests=totals.requests,
        statuses=by_class([totals.codes, *(peer.stats.codes for group in engine.groups() for peer in group.peers)]),
        client_aborts=totals.client_aborts,
        no_live=totals.no_live,
        listeners=ports,
        upstreams={name: _group(pool, engine.time()) for name, pool in engine.pools.items()},
    )


def _group(pool: Pool, now: float) -> GroupView:
    group = pool.group
    return GroupView(
        method=group.settings.method,
        panic=group.panic,
        queued=len(pool.waiting),
        idle_connections=pool.idle,
        peers=[peer_view(group, peer, now) for peer in group.peers],
    )


def peer_view(group: Group, peer: Peer, now: float) -> PeerView:
    stats = peer.stats
    state = peer.state(int(now))
    check = CheckView(
        verdict=str(peer.verdict),
        checks=stats.checks,
        fails=stats.check_fails,
        unhealthy=stats.unhealthy,
        last_passed=stats.last_check_passed,
        note=stats.last_check_note,
    )
    return PeerView(
        id=peer.id,
        address=peer.address,
        state=state,
        weight=peer.settings.weight,
        backup=peer.backup,
        active=peer.conns,
        max_conns=peer.max_conns,
        requests=stats.requests,
        responses=by_class([stats.codes]),
        codes={str(code): count for code, count in sorted(stats.codes.items())},
        sent=stats.sent,
        received=stats.received,
        fails=peer.fails,
        failures=stats.failures,
        unavail=stats.unavail,
        connects=stats.connects,
        header_time_s=round(stats.header_time_s, 6),
        response_time_s=round(stats.response_time_s, 6),
        seconds_out=max(0.0, peer.fail_timeout_s - (now - peer.checked)) if state is State.UNAVAIL else 0.0,
        check=check if group.settings.checks else None,
    )


def by_class(counted: Iterable[dict[int, int]]) -> dict[str, int]:
    """Sums by hundreds, 1xx to 5xx; anything above counts as 5xx."""
    classes = dict.fromkeys(("1xx", "2xx", "3xx", "4xx", "5xx"), 0)
    for codes in counted:
        for code, count in codes.items():
            classes[f"{min(code // 100, 5)}xx"] += count
    return classes
