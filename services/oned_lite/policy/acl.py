"""Access rules: what is wrong with one, and what all of them together give a caller."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from services.oned_lite.model import acl
from services.oned_lite.model.acl import AclRule, rules_of
from services.oned_lite.model.objects import ObjectType
from services.oned_lite.state import Reader

from .caller import Caller

_CLUSTERED = ObjectType.HOST | ObjectType.NET | ObjectType.DATASTORE
_UNOWNED = ObjectType.HOST | ObjectType.GROUP | ObjectType.CLUSTER | ObjectType.ZONE | ObjectType.VDC
_ZONELESS = ObjectType.USER | ObjectType.GROUP | ObjectType.ZONE | ObjectType.ACL | ObjectType.VDC
_TOLERATED = ObjectType.HOOK | ObjectType.BACKUPJOB


@dataclass(frozen=True, slots=True)
class Grants:
    """On which objects of one type a caller has one right by rules: all of them, or those with these ids, of these groups,
    in these clusters."""

    everything: bool
    oids: frozenset[int]
    gids: frozenset[int]
    clusters: frozenset[int]

    def cover(self, oid: int, gid: int, cluster_ids: tuple[int, ...]) -> bool:
        return (
            self.everything or oid in self.oids or gid in self.gids or any(one in self.clusters for one in cluster_ids)
        )


def grants(reader: Reader, caller: Caller, right: int, object_type: ObjectType, *, broad: bool = True) -> Grants:
    """What the rules for everybody, for the caller and for the caller's groups give in this zone; not `broad`: leaving
    out those about everything and about clusters."""
    found: dict[int, set[int]] = {acl.INDIVIDUAL: set(), acl.GROUP: set(), acl.CLUSTER: set()}
    for rule in _rules_for(reader, caller):
        if not (rule.rights & right and rule.resource & object_type and rule.zone in (acl.ANY_ZONE, acl.THIS_ZONE)):
            continue
        if not broad and rule.resource & (acl.ALL | acl.CLUSTER):
            continue
        if rule.resource & acl.ALL:
            return Grants(True, frozenset(), frozenset(), frozenset())
        for selector, ids in found.items():
            if rule.resource & selector:
                ids.add(rule.resource & acl.ID_MASK)
    return Grants(False, *(frozenset(ids) for ids in found.values()))


def _rules_for(reader: Reader, caller: Caller) -> Iterator[AclRule]:
    yield from rules_of(reader, acl.ALL)
    yield from rules_of(reader, acl.INDIVIDUAL | caller.uid)
    for group_id in caller.group_ids:
        yield from rules_of(reader, acl.GROUP | group_id)


def faults(rule: AclRule) -> list[str]:
    """Everything that makes a rule malformed, in oned's words and order."""
    return [*_user_faults(rule.user), *_resource_faults(rule), *_rights_faults(rule.rights), *_zone_faults(rule)]


def _user_faults(user: int) -> Iterator[str]:
    if user & acl.INDIVIDUAL and user & acl.GROUP:
        yield "[user] INDIVIDUAL (#) and GROUP (@) bits are exclusive"
    if user & acl.INDIVIDUAL and user & acl.ALL:
        yield "[user] INDIVIDUAL (#) and ALL (*) bits are exclusive"
    if user & acl.GROUP and user & acl.ALL:
        yield "[user] GROUP (@) and ALL (*) bits are exclusive"
    if not user & (acl.INDIVIDUAL | acl.GROUP | acl.ALL):
        yield "[user] is missing one of the INDIVIDUAL, GROUP or ALL bits"
    if user & acl.ALL and user & acl.ID_MASK:
        yield "when using the ALL bit, [user] ID must be 0"


def _resource_faults(rule: AclRule) -> Iterator[str]:
    resource = rule.resource
    selectors = (resource & acl.SELECTOR_MASK).bit_count()
    if selectors > 1:
        yield "[resource] INDIVIDUAL (#), GROUP (@), CLUSTER (%) and ALL (*) bits are exclusive"
    if not selectors:
        yield "[resource] is missing one of the INDIVIDUAL, GROUP, CLUSTER or ALL bits"
    if resource & acl.ALL and resource & acl.ID_MASK:
        yield "when using the ALL bit, [resource] ID must be 0"
    yield from _type_faults(resource)
    if resource & acl.INDIVIDUAL and rule.zone & acl.ALL and _types(resource) & ~(_ZONELESS | _TOLERATED):
        yield (
            "[resource] INDIVIDUAL(#) selector cannot be applied to ALL zones, except for USER, GROUP and ZONE types"
        )


def _type_faults(resource: int) -> Iterator[str]:
    if resource & acl.INVALID_TYPES_MASK:
        yield "wrong [resource] type"
    elif not _types(resource):
        yield "[resource] type is missing"
    if resource & acl.CLUSTER and _types(resource) & ~(_CLUSTERED | _TOLERATED):
        yield "[resource] CLUSTER(%) selector can be applied only to DATASTORE, HOST and NET types"
    if resource & acl.GROUP and resource & _UNOWNED:
        yield "[resource] GROUP(@) selector cannot be applied to HOST, GROUP, CLUSTER, ZONE or VDC types"


def _types(resource: int) -> int:
    return resource & (acl.TYPES_MASK | ObjectType.HOOK)


def _rights_faults(rights: int) -> Iterator[str]:
    if rights == 0:
        yield "wrong [rights], it cannot be 0"
    if rights > acl.USE | acl.MANAGE | acl.ADMIN | acl.CREATE:
        yield "wrong [rights], it cannot be bigger than 0xF"


def _zone_faults(rule: AclRule) -> Iterator[str]:
    zone = rule.zone
    if zone & acl.GROUP:
        yield "[zone] GROUP (@) bit is not supported"
    if zone & acl.INDIVIDUAL and zone & acl.ALL:
        yield "[zone] INDIVIDUAL (#) and ALL (*) bits are exclusive"
    if not zone & (acl.INDIVIDUAL | acl.GROUP | acl.ALL):
        yield "[zone] is missing one of the INDIVIDUAL or ALL bits"
    if zone & acl.ALL and zone & acl.ID_MASK:
        yield "when using the ALL bit, [zone] ID must be 0"
