"""Prometheus text of a snapshot, one family per fact, labelled by upstream and peer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from services.balancer.core.peers import State
from services.balancer.status.view import PeerView, StatusView

Row = tuple[str, str, str, Iterable[tuple[str, float]]]


def metrics_text(status: StatusView) -> str:
    """The snapshot in the text format 0.0.4."""
    return "\n".join(_lines(status)) + "\n"


def _lines(status: StatusView) -> Iterator[str]:
    for name, kind, text, samples in [*_process(status), *_peers(status)]:
        yield f"# HELP balancer_{name} {text}"
        yield f"# TYPE balancer_{name} {kind}"
        for labels, value in samples:
            yield f"balancer_{name}{labels} {value:g}" if value < 1e6 else f"balancer_{name}{labels} {value:.0f}"


def _process(status: StatusView) -> Iterator[Row]:
    connections, workers = status.connections, [worker for worker in status.workers if not worker.leaving]
    yield "uptime_seconds", "gauge", "Time since start", [("", status.uptime_s)]
    yield "workers", "gauge", "Worker processes beside this one", [("", len(workers))]
    yield "worker_restarts_total", "counter", "Workers that died and were replaced", [
        ("", sum(worker.restarts for worker in workers))
    ]  # fmt: skip
    yield "connections_accepted_total", "counter", "Client connections accepted", [("", connections.accepted)]
    yield "connections_refused_total", "counter", "Client connections over a limit", [("", connections.refused)]
    yield "connections", "gauge", "Client connections now", [
        ('{state="active"}', connections.active), ('{state="idle"}', connections.idle)
    ]  # fmt: skip
    yield "requests_total", "counter", "Requests received", [("", status.requests)]
    yield "client_aborts_total", "counter", "Requests whose client left", [("", status.client_aborts)]
    yield "no_live_upstreams_total", "counter", "Requests that found no live peer", [("", status.no_live)]
    yield "responses_total", "counter", "Answers by status class", [
        (f'{{class="{name}"}}', count) for name, count in status.statuses.items()
    ]  # fmt: skip


def _peers(status: StatusView) -> Iterator[Row]:
    peers = [
        (f'upstream="{name}",peer="{peer.address}"', peer)
        for name, group in status.upstreams.items()
        for peer in group.peers
    ]
    yield "peer_state", "gauge", "1 for the state a peer is in", [
        (f'{{{labels},state="{state}"}}', float(peer.state is state)) for labels, peer in peers for state in State
    ]  # fmt: skip
    yield "peer_responses_total", "counter", "Answers of a peer by class", [
        (f'{{{labels},class="{name}"}}', count) for labels, peer in peers for name, count in peer.responses.items()
    ]  # fmt: skip
    for name, kind, text in _PEER_FACTS:
        yield f"peer_{name}", kind, text, [(f"{{{labels}}}", _fact(peer, name)) for labels, peer in peers]
    checked = [(labels, peer.check) for labels, peer in peers if peer.check is not None]
    yield "peer_checks_total", "counter", "Active checks made", [(f"{{{at}}}", check.checks) for at, check in checked]
    yield "peer_check_failures_total", "counter", "Active checks failed", [
        (f"{{{labels}}}", check.fails) for labels, check in checked
    ]  # fmt: skip
    yield "peer_unhealthy_total", "counter", "Times active checks took the peer out", [
        (f"{{{labels}}}", check.unhealthy) for labels, check in checked
    ]  # fmt: skip


_PEER_FACTS = (
    ("requests_total", "counter", "Attempts sent to a peer"),
    ("failures_total", "counter", "Attempts that failed"),
    ("unavail_total", "counter", "Times passive checks took the peer out"),
    ("connects_total", "counter", "Connections opened to a peer"),
    ("sent_bytes_total", "counter", "Bytes sent to a peer"),
    ("received_bytes_total", "counter", "Bytes received from a peer"),
    ("active", "gauge", "Requests in progress"),
    ("header_time_s", "gauge", "Time to the head of an answer, smoothed"),
    ("response_time_s", "gauge", "Time to the end of an answer, smoothed"),
)


def _fact(peer: PeerView, name: str) -> float:
    value: float = getattr(peer, name.removesuffix("_total").removesuffix("_bytes"))
    return value
