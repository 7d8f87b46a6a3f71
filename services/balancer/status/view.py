"""A snapshot of the balancer as values; the JSON of ``/api/status`` is exactly this."""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

from services.balancer import acceleration
from services.balancer.core.groups import Group
from services.balancer.core.peers import Peer, State
from services.balancer.fleet import Fleet, WorkerView
from services.balancer.status.figures import Figures, GroupFigures, PeerFigures


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
    """One upstream group. ``zone``: its state is shared by all workers."""

    method: str
    zone: bool
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
    """The whole program; ``pid`` is the one to send signals to, ``workers`` is empty when there are none beside it.

    ``code`` says whether the hot path runs ``compiled`` or ``interpreted``.
    """

    pid: int
    code: str
    uptime_s: float
    workers: list[WorkerView]
    connections: ConnectionsView
    requests: int
    statuses: dict[str, int]
    client_aborts: int
    no_live: int
    listeners: dict[str, int]
    upstreams: dict[str, GroupView]


def status_view(fleet: Fleet, figures: Figures, workers: list[WorkerView], uptime_s: float) -> StatusView:
    groups, now = fleet.groups, fleet.time()
    seen = {name: figures.groups.get(name) or GroupFigures() for name in groups}
    return StatusView(
        pid=os.getpid(),
        code=acceleration.description(),
        uptime_s=round(uptime_s, 3),
        workers=workers,
        connections=ConnectionsView(
            accepted=figures.accepts, active=figures.busy, idle=figures.idle, refused=figures.refused
        ),
        requests=figures.requests,
        statuses=by_class(figures.codes),
        client_aborts=figures.client_aborts,
        no_live=figures.no_live,
        listeners=fleet.ports,
        upstreams={name: _group(group, seen[name], now) for name, group in groups.items()},
    )


def _group(group: Group, figures: GroupFigures, now: float) -> GroupView:
    return GroupView(
        method=group.settings.method,
        zone=group.settings.zone,
        panic=group.panic,
        queued=figures.queued,
        idle_connections=figures.idle,
        peers=[peer_view(group, peer, figures, now) for peer in group.peers],
    )


def peer_view(group: Group, peer: Peer, figures: GroupFigures, now: float) -> PeerView:
    of_peer = figures.peers.get(peer.id) or PeerFigures()
    state = peer.state(int(now))
    if state is State.UP and of_peer.out:
        state = State.UNAVAIL
    check = CheckView(
        verdict=str(peer.verdict),
        checks=of_peer.checks,
        fails=of_peer.check_fails,
        unhealthy=of_peer.unhealthy,
        last_passed=of_peer.last_check_passed,
        note=of_peer.last_check_note,
    )
    return PeerView(
        id=peer.id,
        address=peer.address,
        state=state,
        weight=peer.settings.weight,
        backup=peer.backup,
        active=of_peer.active,
        max_conns=peer.max_conns,
        requests=of_peer.requests,
        responses=by_class(of_peer.codes),
        codes={str(code): count for code, count in sorted(of_peer.codes.items())},
        sent=of_peer.sent,
        received=of_peer.received,
        fails=of_peer.passive.fails,
        failures=of_peer.failures,
        unavail=of_peer.unavail,
        connects=of_peer.connects,
        header_time_s=round(of_peer.header_time_s, 6),
        response_time_s=round(of_peer.response_time_s, 6),
        seconds_out=of_peer.seconds_out if state is State.UNAVAIL else 0.0,
        check=check if group.settings.checks else None,
    )


def by_class(codes: Mapping[int, int]) -> dict[str, int]:
    """Sums by hundreds, 1xx to 5xx; anything above counts as 5xx."""
    classes = dict.fromkeys(("1xx", "2xx", "3xx", "4xx", "5xx"), 0)
    for code, count in codes.items():
        classes[f"{min(code // 100, 5)}xx"] += count
    return classes
