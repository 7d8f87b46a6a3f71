"""one.acl.*: access rules."""

from __future__ import annotations

import re

from services.oned_lite.model import acl
from services.oned_lite.model.acl import ACL_RULES, AclRule
from services.oned_lite.model.errors import internal
from services.oned_lite.model.objects import ObjectType
from services.oned_lite.policy.acl import faults
from services.oned_lite.policy.authorization import Right
from services.oned_lite.state.table import scan

from .call import Call
from .method import MethodTable

METHODS = MethodTable("one.acl")
_HEX = re.compile(r"\s*(?:0x)?([0-9a-f]{1,16})", re.IGNORECASE)


@METHODS.add("addrule")
def addrule(call: Call, user: str, resource: str, rights: str, zone: str = f"{acl.THIS_ZONE:x}") -> int:
    """The fields are hexadecimal numbers. Malformed rules and those that exist are refused."""
    call.authorize().need_type(Right.MANAGE, ObjectType.ACL).check()
    rule = AclRule(oid=-1, user=_number(user), resource=_number(resource), rights=_number(rights), zone=_number(zone))
    found = faults(rule)
    if found:
        raise internal(f"Rule {rule.to_text()} is malformed: {'; '.join(found)}")
    added = acl.add_rule(call.tx, rule.user, rule.resource, rule.rights, rule.zone)
    if added is None:
        raise internal(f"Rule {rule.to_text()} already exists")
    return added.oid


def _number(text: str) -> int:
    """What is no hexadecimal number counts as 0."""
    match = _HEX.match(text)
    return int(match[1], 16) if match else 0


@METHODS.add("delrule")
def delrule(call: Call, oid: int) -> int:
    call.authorize().need_type(Right.MANAGE, ObjectType.ACL).check()
    if call.tx.get(ACL_RULES, oid) is None:
        raise internal(f"Rule {oid} does not exist")
    call.tx.delete(ACL_RULES, oid)
    return oid


@METHODS.add("info", reads=True)
def info(call: Call) -> str:
    """All rules, by user field and id."""
    call.authorize().need_type(Right.MANAGE, ObjectType.ACL).check()
    rules = sorted(scan(call.tx, ACL_RULES), key=lambda rule: (rule.user, rule.oid))
    return f"<ACL_POOL>{''.join(rule.to_xml() for rule in rules)}</ACL_POOL>"
