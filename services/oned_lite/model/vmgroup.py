"""VM groups: roles, and rules that keep VMs of roles together or apart."""

from __future__ import annotations

from itertools import combinations

import msgspec

from services.common.template import Template, Vector
from services.oned_lite.state import Reader

from .numbers import is_whole
from .objects import Kind, NameScope, ObjectType, PoolObject, kind_table
from .xml import template_element

AFFINED, ANTI_AFFINED = "AFFINED", "ANTI_AFFINED"
RULES = (AFFINED, ANTI_AFFINED)
GIVEN_BY_DAEMON = ("ID", "VMS")


class Role(msgspec.Struct, frozen=True, array_like=True):
    """`fields` as people wrote them (NAME, POLICY, HOST_AFFINED …)."""

    oid: int
    fields: Vector
    vm_ids: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        return self.fields.get("NAME")

    @property
    def policy(self) -> str:
        return self.fields.get("POLICY").upper()

    def hosts(self, name: str) -> frozenset[int]:
        """HOST_AFFINED or HOST_ANTI_AFFINED."""
        return frozenset(int(part) for part in self.fields.get(name).split(",") if is_whole(part.strip()))

    def to_xml(self) -> str:
        shown = self.fields.with_set("ID", str(self.oid))
        return (shown.with_set("VMS", ",".join(map(str, self.vm_ids))) if self.vm_ids else shown).to_xml("ROLE")


class VmGroup(PoolObject, frozen=True, kw_only=True, omit_defaults=True):
    """`next_role` is the id of the next role: ids are not given twice."""

    roles: tuple[Role, ...] = ()
    next_role: int = 0

    def role(self, oid: int) -> Role | None:
        return next((role for role in self.roles if role.oid == oid), None)

    def role_named(self, name: str) -> Role | None:
        return next((role for role in self.roles if role.name == name), None)

    @property
    def vm_count(self) -> int:
        return sum(len(role.vm_ids) for role in self.roles)

    def with_role(self, changed: Role) -> VmGroup:
        roles = tuple(changed if role.oid == changed.oid else role for role in self.roles)
        return msgspec.structs.replace(self, roles=roles)


def role_of(oid: int, fields: Vector) -> Role:
    return Role(oid, fields.without(*GIVEN_BY_DAEMON))


# ---------------------------------------------------------------------- rules
def rule_sets(template: Template, name: str) -> list[frozenset[str]]:
    """The roles named in each AFFINED (or ANTI_AFFINED) rule."""
    return [frozenset(_names(text)) for text in template.singles(name)]


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def fault(template: Template, roles: tuple[Role, ...]) -> str | None:
    """What is wrong with the rules of a group with those roles."""
    known = {role.name for role in roles}
    for name in RULES:
        for text in template.singles(name):
            if not known.issuperset(_names(text)):
                return f"Some roles used in {name} attribute ({text}) are not defined"
        repeated = _repeated(template, name)
        if repeated is not None:
            return f"Duplicated {name} rule ({repeated}) detected."
    return _contradiction(template, roles)


def _repeated(template: Template, name: str) -> str | None:
    seen: set[frozenset[str]] = set()
    for text in template.singles(name):
        names = frozenset(_names(text))
        if names in seen:
            return text
        seen.add(names)
    return None


def _contradiction(template: Template, roles: tuple[Role, ...]) -> str | None:
    together, apart = _pairs(template, AFFINED), _pairs(template, ANTI_AFFINED)
    both = sorted({name for pair in together & apart for name in pair})
    if both:
        return f"Roles defined in AFFINED and ANTI_AFFINED rules: {' '.join(both)}"
    affined = {name for names in rule_sets(template, AFFINED) for name in names}
    for role in roles:
        if role.name in affined and role.policy == ANTI_AFFINED:
            return f"Role {role.name} is in an AFFINED rule but the role policy is ANTI_AFFINED"
    return None


def _pairs(template: Template, name: str) -> set[frozenset[str]]:
    return {frozenset(pair) for names in rule_sets(template, name) for pair in combinations(sorted(names), 2)}


def render(_reader: Reader, row: VmGroup) -> str:
    """`<VM_GROUP>`, the same in info and pools."""
    roles = "".join(role.to_xml() for role in row.roles)
    return (
        f"<VM_GROUP>{row.owner_xml()}{row.permissions.to_xml()}{row.lock_xml()}<ROLES>{roles}</ROLES>"
        f"{template_element(row.template)}</VM_GROUP>"
    )


VMGROUPS: Kind[VmGroup] = Kind(
    type=ObjectType.VMGROUP,
    title="vm group",
    table=kind_table("vmgroup_pool", VmGroup, NameScope.OWNER),
    prefix="one.vmgroup",
    root="VM_GROUP",
    pool_root="VM_GROUP_POOL",
    name_scope=NameScope.OWNER,
    render=render,
)
