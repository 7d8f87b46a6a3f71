"""The security groups of a VM's NICs: which they are, and their rules in the VM's template."""

from __future__ import annotations

from collections.abc import Iterator

from services.common.template import Template, Vector
from services.oned_lite.model import vm_uses
from services.oned_lite.model.numbers import is_whole
from services.oned_lite.model.objects import ObjectType
from services.oned_lite.model.secgroup import SECGROUPS, SecurityGroup
from services.oned_lite.model.vnet import VNETS
from services.oned_lite.state import Reader, Transaction

RULE = "SECURITY_GROUP_RULE"
RANGE_KEYS = frozenset({"AR_ID", "TYPE", "SIZE", "MAC", "IP", "IP6", "PREFIX_LENGTH", "GLOBAL_PREFIX", "ULA_PREFIX"})
"""What a rule about a network tells of each range."""
NIC_NAMES = ("NIC", "NIC_ALIAS", "PCI")


def listed(*texts: str) -> list[int]:
    """The ids in texts like "0,100", each once, ascending."""
    return sorted({int(part) for text in texts for part in text.split(",") if is_whole(part.strip())})


def text_of(groups: list[int]) -> str:
    return ",".join(map(str, groups))


def ids_of(nic: Vector) -> list[int]:
    return listed(nic.get("SECURITY_GROUPS"))


def used_by(template: Template) -> list[int]:
    """All groups of all NICs."""
    return listed(*(nic.get("SECURITY_GROUPS") for name in NIC_NAMES for nic in template.vectors(name)))


def with_rules(reader: Reader, template: Template) -> Template:
    """The template with the rules of the groups that its NICs use, each group once."""
    rules: list[Vector] = []
    for oid in used_by(template):
        group = reader.get(SECGROUPS.table, oid)
        if group is not None:
            rules.extend(_rules_of(reader, group))
    return template.with_set(RULE, *rules) if rules else template.without(RULE)


def _rules_of(reader: Reader, group: SecurityGroup) -> Iterator[Vector]:
    """A rule about a network (NETWORK_ID) stands for one about each of its ranges."""
    about = {"SECURITY_GROUP_ID": str(group.oid), "SECURITY_GROUP_NAME": group.name}
    for rule in group.template.vectors("RULE"):
        network_id = rule.get_int("NETWORK_ID")
        if network_id is None:
            yield rule.merged(about)
            continue
        network = reader.get(VNETS.table, network_id)
        for one in () if network is None else network.ranges:
            said = Vector(tuple(pair for pair in one.attributes if pair[0] in RANGE_KEYS))
            yield rule.merged(about).merged(said)


def enter(tx: Transaction, oid: int, vm_oid: int) -> None:
    if tx.get(SECGROUPS.table, oid) is not None:
        vm_uses.enter(tx, ObjectType.SECGROUP, oid, vm_oid)


def leave(tx: Transaction, oid: int, vm_oid: int) -> None:
    vm_uses.leave(tx, ObjectType.SECGROUP, oid, vm_oid)
