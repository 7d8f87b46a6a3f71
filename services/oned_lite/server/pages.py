"""GET /healthz, /leader and /metrics, beside XML-RPC on the same port."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus

import msgspec

from services.oned_lite.model.zone import ZoneServer
from services.oned_lite.node.node import LEADING, NodeStatus

from .calls import Page
from .engine import Engine
from .http import HttpAnswer


def pages(engine: Engine, connections: Callable[[], int]) -> dict[str, Page]:
    """By path."""
    return {
        "/healthz": lambda: _health(engine),
        "/leader": lambda: _leader(engine.status(), engine.servers),
        "/metrics": lambda: _metrics(engine, connections),
    }


def _health(engine: Engine) -> HttpAnswer:
    """200 while answers from this server are good, even if only reads: writes may go through another one."""
    status = engine.status()
    if status is None:
        return _json(HTTPStatus.SERVICE_UNAVAILABLE, {"serving": False, "reason": "starting"})
    report = {
        "serving": status.serving,
        "reason": status.reason,
        "role": status.role,
        "server_id": status.server_id,
        "leader_id": status.leader_id,
        "term": status.term,
        "commit": status.commit_index,
        "applied": status.applied_index,
        "state_hash": f"{status.state_hash:x}",
        "peers": status.peers,
        "voters": status.voters,
        "learners": status.learners,
        "votes": status.votes,
        "database": engine.storage_problem or "ok",
        "time": engine.time_s,
    }
    return _json(HTTPStatus.OK if status.serving else HTTPStatus.SERVICE_UNAVAILABLE, report)


def _leader(status: NodeStatus | None, servers: Mapping[int, ZoneServer]) -> HttpAnswer:
    """200 on the leader, 503 elsewhere; on both who it is."""
    leads = status is not None and status.role in LEADING and status.serving
    leader = servers.get(status.leader_id) if status is not None and status.leader_id is not None else None
    report = {
        "leader": leads,
        "leader_id": None if status is None else status.leader_id,
        "name": None if leader is None else leader.name,
        "endpoint": None if leader is None else leader.endpoint,
        "term": 0 if status is None else status.term,
    }
    return _json(HTTPStatus.OK if leads else HTTPStatus.SERVICE_UNAVAILABLE, report)


def _metrics(engine: Engine, connections: Callable[[], int]) -> HttpAnswer:
    from .metrics import render  # prometheus_client takes a tenth of a second to import

    content_type, body = render(engine, connections())
    return HttpAnswer(HTTPStatus.OK, body, content_type)


def _json(status: HTTPStatus, report: Mapping[str, object]) -> HttpAnswer:
    return HttpAnswer(status, msgspec.json.encode(report) + b"\n", "application/json")
