"""The tables of `onezone show 0`: what each server says of the zone (OpenNebula `one.zone.info`, `one.zone.raftstatus`)."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass

from deploy.lab.errors import LabError
from services.common.oned import OnedClient, OnedFailure

ANSWER_WITHIN_S = 5.0
STATES = ("solo", "candidate", "follower", "leader")
ZONE_STATES = {"0": "ENABLED", "1": "DISABLED"}
NOT_TOLD = "-"


@dataclass(frozen=True, slots=True)
class ZoneServer:
    oid: str
    name: str
    endpoint: str


@dataclass(frozen=True, slots=True)
class RaftStatus:
    """Texts as the table shows them; "-" is what a server did not tell, and its state is then "error"."""

    state: str = "error"
    term: str = NOT_TOLD
    log_index: str = NOT_TOLD
    commit: str = NOT_TOLD
    vote: str = NOT_TOLD
    fed_index: str = NOT_TOLD


async def show(endpoints: Sequence[str], session: str) -> str:
    """All tables. LabError if no endpoint answers."""
    zone = ElementTree.fromstring(await _zone_info(endpoints, session))
    servers = [
        ZoneServer(_text(server, "ID"), _text(server, "NAME"), _text(server, "ENDPOINT"))
        for server in zone.iterfind("SERVER_POOL/SERVER")
    ]
    statuses = await asyncio.gather(*(raft_status(server.endpoint, session) for server in servers))
    return "\n".join((*_information(zone), "", *_servers(servers), "", *_sync(servers, statuses), "", *_template(zone)))


async def raft_status(endpoint: str, session: str) -> RaftStatus:
    """What the server at an endpoint says of itself."""
    try:
        answer = await OnedClient([endpoint], timeout_s=ANSWER_WITHIN_S).call(session, "one.zone.raftstatus")
    except OnedFailure:
        return RaftStatus()
    raft = ElementTree.fromstring(str(answer))
    state = _text(raft, "STATE")
    return RaftStatus(
        state=STATES[int(state)] if state in ("0", "1", "2", "3") else "error",
        term=_text(raft, "TERM"),
        log_index=_text(raft, "LOG_INDEX"),
        commit=_text(raft, "COMMIT"),
        vote=_text(raft, "VOTEDFOR"),
        fed_index=_text(raft, "FEDLOG_INDEX"),
    )


async def _zone_info(endpoints: Sequence[str], session: str) -> str:
    """The zone's XML from the first endpoint that gives it."""
    reasons = []
    for endpoint in endpoints:
        try:
            return str(await OnedClient([endpoint], timeout_s=ANSWER_WITHIN_S).call(session, "one.zone.info", 0))
        except OnedFailure as error:
            reasons.append(str(error))
    raise LabError(f"no oned of this lab answers ({reasons[0]}); start it with: onelite up --detach")


def _text(element: ElementTree.Element, path: str) -> str:
    return element.findtext(path) or NOT_TOLD


def _information(zone: ElementTree.Element) -> list[str]:
    number = _text(zone, "ID")
    return [
        f"ZONE {number} INFORMATION",
        f"{'ID':<18}: {number}",
        f"{'NAME':<18}: {_text(zone, 'NAME')}",
        f"{'STATE':<18}: {ZONE_STATES.get(_text(zone, 'STATE'), NOT_TOLD)}",
    ]


def _servers(servers: Sequence[ZoneServer]) -> list[str]:
    return [
        "ZONE SERVERS",
        f"{'ID':>2} {'NAME':<15} {'ENDPOINT':<63}".rstrip(),
        *(f"{server.oid:>2} {server.name:<15} {server.endpoint}" for server in servers),
    ]


def _sync(servers: Sequence[ZoneServer], statuses: Sequence[RaftStatus]) -> list[str]:
    def row(*cells: str) -> str:
        oid, name, state, term, index, commit, vote, fed_index = cells
        return f"{oid:>2} {name:<15} {state:<10} {term:<10} {index:<10} {commit:<10} {vote:<5} {fed_index}".rstrip()

    return [
        "HA & FEDERATION SYNC STATUS",
        row("ID", "NAME", "STATE", "TERM", "INDEX", "COMMIT", "VOTE", "FED_INDEX"),
        *(
            row(server.oid, server.name, raft.state, raft.term, raft.log_index, raft.commit, raft.vote, raft.fed_index)
            for server, raft in zip(servers, statuses, strict=True)
        ),
    ]


def _template(zone: ElementTree.Element) -> list[str]:
    attributes = zone.find("TEMPLATE")
    return [
        "ZONE TEMPLATE",
        *(f'{each.tag}="{each.text or ""}"' for each in (attributes if attributes is not None else ())),
    ]
