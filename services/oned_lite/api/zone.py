"""one.zone.*: zones, their servers, and the state of consensus. Federation calls answer as on a standalone zone."""

from __future__ import annotations

import msgspec

from services.common.template import Template, TemplateError, Vector, parse
from services.common.xmlrpc import I8
from services.oned_lite.model.errors import ApiError, ErrorCode, action, internal
from services.oned_lite.model.errors import allocate as cannot_allocate
from services.oned_lite.model.removal import remove
from services.oned_lite.model.xml import element
from services.oned_lite.model.zone import FIRST_USER_ZONE, LOCAL_ZONE, ZONES, Zone, ZoneServer
from services.oned_lite.policy.authorization import Right
from services.oned_lite.policy.caller import ONEADMIN_UID

from . import shared
from .call import Call
from .method import MethodTable
from .pieces import Pieces
from .shared.register import register

METHODS = MethodTable("one.zone")
POOL_METHODS = MethodTable("one.zonepool")
NO_ENDPOINT = "-"

register(METHODS, ZONES, "info", "rename")


@METHODS.add("allocate")
def allocate(call: Call, text: str) -> int:
    """Only the master of a federation makes zones."""
    raise cannot_allocate(ZONES.title, "New zones can only be created at federation master")


@METHODS.add("update")
def update(call: Call, oid: int, text: str, append: int = 0) -> int:
    return shared.update(call, ZONES, oid, text, append, finish=_with_endpoint)


def _with_endpoint(_call: Call, row: Zone, template: Template) -> Zone:
    if not template.get("ENDPOINT"):
        template = template.with_set("ENDPOINT", NO_ENDPOINT)
    return msgspec.structs.replace(row, template=template)


@METHODS.add("delete")
def delete(call: Call, oid: int, recursive: bool = False) -> int:
    """`recursive` means nothing here."""
    call.fetch(ZONES, oid, Right.ADMIN)
    if oid < FIRST_USER_ZONE:
        raise action("Cannot delete zone. System Zones (ID < 100) cannot be deleted.")
    remove(call.tx, ZONES, oid)
    return oid


@METHODS.add("enable", in_disabled_zone=True)
def enable(call: Call, oid: int, enable: bool) -> int:
    """A disabled zone answers reads only."""
    zone = _local(call, oid, "Enable/disable mode have to be set through the target zone endpoints")
    call.tx.put(ZONES.table, msgspec.structs.replace(zone, enabled=enable))
    return oid


@METHODS.add("addserver")
def addserver(call: Call, oid: int, text: str) -> int:
    """`SERVER = [ NAME =, ENDPOINT =, PEER = HOST:PORT ]`. The new server gets the highest id plus one.

    PEER is ours: where the other servers reach it, if not at the endpoint's host and the port after XML-RPC's. The id of
    a server that has not left yet is not given away: two machines would vote as one.
    """
    zone = _local(call, oid, "Servers have to be added through the target zone endpoints")
    given = _server(text)
    for name in ("ENDPOINT", "NAME"):
        if not given.get(name):
            raise action(f"Missing {name} in SERVER")
    server_id = max((*(one.server_id for one in zone.servers), *call.cluster.members), default=-1) + 1
    extra = given.without("NAME", "ENDPOINT", "ID", "PEER").pairs
    server = ZoneServer(server_id, given.get("NAME"), given.get("ENDPOINT"), extra, given.get("PEER"))
    if server.peer and server.peer_address is None:
        raise action(f"PEER in SERVER: expected HOST:PORT, got {server.peer!r}")
    call.tx.put(ZONES.table, msgspec.structs.replace(zone, servers=(*zone.servers, server)))
    return oid


def _server(text: str) -> Vector:
    """The SERVER of the template. Without one oned fails and says nothing."""
    try:
        found = parse(text).vector("SERVER")
    except TemplateError as error:
        raise action(str(error)) from None
    if found is None:
        raise action("")
    return found


@METHODS.add("delserver")
def delserver(call: Call, oid: int, server_id: int) -> int:
    zone = _local(call, oid, "Servers have to be deleted through the target zone endpoints")
    kept = tuple(one for one in zone.servers if one.server_id != server_id)
    if len(kept) == len(zone.servers):
        raise action("SERVER not found in zone")
    call.tx.put(ZONES.table, msgspec.structs.replace(zone, servers=kept))
    return oid


@METHODS.add("resetserver")
def resetserver(call: Call, oid: int, server_id: int) -> int:
    """oned forgets how far a follower's log goes. Here the leader finds that out by itself: nothing is to be done."""
    _local(call, oid, "Servers have to be deleted through the target zone endpoints")
    return oid


def _local(call: Call, oid: int, elsewhere: str) -> Zone:
    """This zone; another one's servers and state are its own business."""
    if oid != LOCAL_ZONE:
        raise action(elsewhere)
    return call.fetch(ZONES, oid, Right.ADMIN)


@METHODS.read("raftstatus")
def raftstatus(call: Call) -> str:
    """What this very server knows of consensus; for administrators."""
    zone = ZONES.get(call.tx, LOCAL_ZONE)
    call.authorize().need(Right.ADMIN, ZONES, zone, ignore_lock=True).check()
    status = call.cluster
    fields = (
        ("SERVER_ID", status.server_id),
        ("STATE", status.state),
        ("TERM", status.term),
        ("VOTEDFOR", status.voted_for),
        ("COMMIT", status.commit),
        ("LOG_INDEX", status.log_index),
        ("LOG_TERM", status.log_term),
        ("FEDLOG_INDEX", status.fedlog_index),
    )
    return "<RAFT>" + "".join(element(tag, value) for tag, value in fields) + "</RAFT>"


# --------------------------------------------------------------- what servers say to each other with oned's own protocol
@METHODS.add("updatedb")
def updatedb(call: Call, oid: int, xml: str) -> int:
    """A slave zone's news for the master."""
    _only_oneadmin(call)
    ZONES.get(call.tx, oid)
    raise internal("Cannot update object from XML")


@METHODS.add("replicate", leader_only=False, in_disabled_zone=True, reads=True)
def replicate(
    call: Call,
    leader_id: int,
    leader_commit: I8,
    leader_term: int,
    index: I8,
    term: int,
    prev_index: I8,
    prev_term: int,
    fed_index: I8,
    sql: str,
) -> int:
    """Servers replicate over connections of their own, never by this."""
    _only_oneadmin(call)
    raise _not_in_solo_mode(call, "Cannot replicate in solo mode")


@METHODS.add("voterequest", leader_only=False, in_disabled_zone=True, reads=True)
def voterequest(
    call: Call, candidate_term: int, candidate_id: int, candidate_log_index: I8, candidate_log_term: int
) -> int:
    """Servers vote over connections of their own, never by this."""
    _only_oneadmin(call)
    raise _not_in_solo_mode(call, "Candidate's term is lower or equal than mine")


@METHODS.add("fedreplicate", in_disabled_zone=True)
def fedreplicate(call: Call, index: I8, prev_index: I8, sql: str) -> int:
    _only_oneadmin(call)
    raise ApiError(ErrorCode.REPLICATION, f"Error replicating log entry {index}: oned is not a federation slave.")


def _not_in_solo_mode(call: Call, reason: str) -> ApiError:
    return ApiError(ErrorCode.ACTION, reason, oid=call.cluster.term)


def _only_oneadmin(call: Call) -> None:
    if call.caller.uid != ONEADMIN_UID:
        raise ApiError(ErrorCode.AUTHORIZATION, f"User [{call.caller.uid}] not authorized to perform action on zone.")


@POOL_METHODS.read("info")
def pool_info(call: Call) -> Pieces:
    return shared.pool_info(call, ZONES, -2, -1, -1)
