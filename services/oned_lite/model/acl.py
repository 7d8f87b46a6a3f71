"""Access rules (table acl): who may do what to which objects, in OpenNebula's packed 64-bit notation."""

from __future__ import annotations

from collections.abc import Hashable

import msgspec

from services.oned_lite.state import Table

INDIVIDUAL = 0x100000000
GROUP = 0x200000000
ALL = 0x400000000
CLUSTER = 0x800000000
ID_MASK = 0xFFFFFFFF


class AclRule(msgspec.Struct, frozen=True, kw_only=True):
    """`user`, `resource` and `zone` carry a selector bit (INDIVIDUAL, GROUP, ALL, CLUSTER) and an id; `resource` also the
    bits of one or more object types. `rights` is the sum of USE 1, MANAGE 2, ADMIN 4, CREATE 8."""

    oid: int
    user: int
    resource: int
    rights: int
    zone: int


def _by_user(rule: AclRule) -> tuple[Hashable, ...]:
    return (rule.user,)


ACL_RULES: Table[AclRule] = Table("acl", AclRule, key=lambda rule: rule.oid, indexes={"user": _by_user})
