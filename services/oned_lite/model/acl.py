"""Access rules (table acl): who may do what to which objects, in OpenNebula's packed 64-bit notation."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

import msgspec

from services.oned_lite.state import Reader, Table, Transaction

from .objects import COUNTERS, Counter, ObjectType
from .zone import LOCAL_ZONE

INDIVIDUAL = 0x100000000
GROUP = 0x200000000
ALL = 0x400000000
CLUSTER = 0x800000000
ID_MASK = 0xFFFFFFFF
SELECTOR_MASK = INDIVIDUAL | GROUP | ALL | CLUSTER
USE, MANAGE, ADMIN, CREATE = 1, 2, 4, 8
RIGHT_NAMES = {USE: "USE", MANAGE: "MANAGE", ADMIN: "ADMIN", CREATE: "CREATE"}
TYPES_MASK = sum(kind for kind in ObjectType if kind is not ObjectType.HOOK)
INVALID_TYPES_MASK = 0xFE80000000000000
ANY_ZONE = ALL
THIS_ZONE = INDIVIDUAL | LOCAL_ZONE


class AclRule(msgspec.Struct, frozen=True, kw_only=True):
    """`user`, `resource` and `zone` carry a selector bit (INDIVIDUAL, GROUP, ALL, CLUSTER) and an id; `resource` also the
    bits of one or more object types. `rights` is the sum of USE 1, MANAGE 2, ADMIN 4, CREATE 8."""

    oid: int
    user: int
    resource: int
    rights: int
    zone: int

    @property
    def holder(self) -> int:
        """The selector of the resource, without the types."""
        return self.resource & (SELECTOR_MASK | ID_MASK)

    def same_as(self, other: AclRule) -> bool:
        """Says the same, whatever the ids."""
        return (self.user, self.resource, self.rights, self.zone) == (
            other.user,
            other.resource,
            other.rights,
            other.zone,
        )

    def to_text(self) -> str:
        """`#2 VM+IMAGE/@100 USE+MANAGE *`."""
        types = "+".join(kind.name for kind in _SHOWN_TYPES if self.resource & kind)
        rights = "+".join(name for bit, name in RIGHT_NAMES.items() if self.rights & bit)
        return f"{_selector(self.user)} {types}/{_selector(self.resource)} {rights} {_selector(self.zone, _ZONE_SIGNS)}"

    def to_xml(self) -> str:
        return (
            f"<ACL><ID>{self.oid}</ID><USER>{self.user:x}</USER><RESOURCE>{self.resource:x}</RESOURCE>"
            f"<RIGHTS>{self.rights:x}</RIGHTS><ZONE>{self.zone:x}</ZONE><STRING>{self.to_text()}</STRING></ACL>"
        )


_SHOWN_TYPES = tuple(kind for kind in ObjectType if kind not in (ObjectType.HOOK, ObjectType.ACL))
_SIGNS = ((GROUP, "@"), (INDIVIDUAL, "#"), (CLUSTER, "%"))
_ZONE_SIGNS = ((INDIVIDUAL, "#"),)


def _selector(field: int, signs: tuple[tuple[int, str], ...] = _SIGNS) -> str:
    """`#7`, `@7`, `%7`, `*`, or `??` where the bit is missing."""
    for bit, sign in signs:
        if field & bit:
            return f"{sign}{field & ID_MASK}"
    return "*" if field & ALL else "??"


def _by_user(rule: AclRule) -> tuple[Hashable, ...]:
    return (rule.user,)


def _by_resource(rule: AclRule) -> tuple[Hashable, ...]:
    return (rule.holder,)


ACL_RULES: Table[AclRule] = Table(
    "acl", AclRule, key=lambda rule: rule.oid, indexes={"user": _by_user, "holder": _by_resource}
)


def rules_of(reader: Reader, user: int) -> Iterator[AclRule]:
    """The rules for exactly that user field (an INDIVIDUAL, a GROUP, or ALL), by id."""
    for oid in reader.find(ACL_RULES, "user", user):
        rule = reader.get(ACL_RULES, oid)
        if rule is not None:
            yield rule


def find_same(reader: Reader, rule: AclRule) -> AclRule | None:
    """The stored rule that says what `rule` says."""
    return next((one for one in rules_of(reader, rule.user) if one.same_as(rule)), None)


def add_rule(tx: Transaction, user: int, resource: int, rights: int, zone: int) -> AclRule | None:
    """Stores a rule under the next id; None where there is one like it already. Ids are never used again."""
    rule = AclRule(oid=_next_id(tx), user=user, resource=resource, rights=rights, zone=zone)
    if find_same(tx, rule) is not None:
        return None
    tx.put(COUNTERS, Counter(tablename=ACL_RULES.name, last_oid=rule.oid))
    return tx.put(ACL_RULES, rule)


def _next_id(tx: Transaction) -> int:
    counter = tx.get(COUNTERS, ACL_RULES.name)
    return 0 if counter is None else counter.last_oid + 1


def delete_rule(tx: Transaction, user: int, resource: int, rights: int, zone: int) -> None:
    """Takes away the rule that says exactly this, if there is one."""
    found = find_same(tx, AclRule(oid=-1, user=user, resource=resource, rights=rights, zone=zone))
    if found is not None:
        tx.delete(ACL_RULES, found.oid)


def delete_rules_for_user(tx: Transaction, user: int) -> None:
    """Takes away all rules of a user or group that is being deleted."""
    for rule in list(rules_of(tx, user)):
        tx.delete(ACL_RULES, rule.oid)


def delete_rules_about(tx: Transaction, object_type: ObjectType | None, holder: int) -> None:
    """Takes away all rules about something that is being deleted: one object of the type (an INDIVIDUAL), or with None
    whatever belongs to a group (GROUP) or a cluster (CLUSTER)."""
    for oid in tx.find(ACL_RULES, "holder", holder):
        rule = tx.get(ACL_RULES, oid)
        if rule is not None and (object_type is None or rule.resource & object_type):
            tx.delete(ACL_RULES, rule.oid)
