"""Quotas: what users and groups may use, and what they use (tables user_quotas and group_quotas; defaults as attributes).

A limit of -1 stands for the default limit, -2 for none. Used amounts are kept even where nothing is limited.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from services.oned_lite.state import Reader, Table

from .xml import text_element

DEFAULT, UNLIMITED = -1.0, -2.0
NO_ID = -1
USER, GROUP = "user", "group"


@dataclass(frozen=True, slots=True)
class Family:
    """One section of quotas: its name in templates, and its metrics in the order in which they are checked.

    All families but VM limit one object each, named by ID.
    """

    name: str
    metrics: tuple[str, ...]
    by_id: bool = True

    @property
    def container(self) -> str:
        return f"{self.name}_QUOTA"


DATASTORE_QUOTA = Family("DATASTORE", ("SIZE", "IMAGES"))
NETWORK_QUOTA = Family("NETWORK", ("LEASES",))
VM_QUOTA = Family(
    "VM",
    ("VMS", "RUNNING_VMS", "CPU", "RUNNING_CPU", "MEMORY", "RUNNING_MEMORY", "SYSTEM_DISK_SIZE"),
    by_id=False,
)
IMAGE_QUOTA = Family("IMAGE", ("RVMS",))
FAMILIES = (DATASTORE_QUOTA, NETWORK_QUOTA, VM_QUOTA, IMAGE_QUOTA)
"""In the order in which they are shown."""


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One line of quotas: limits and used amounts in the order of the family's metrics. `oid` is -1 in family VM."""

    family: str
    oid: int
    limits: tuple[float, ...]
    used: tuple[float, ...]


class Quotas(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All lines of one user, one group or one set of defaults, sorted by family and id."""

    entries: tuple[Entry, ...] = ()

    def find(self, family: Family, oid: int) -> Entry | None:
        for entry in self.entries:
            if entry.oid == oid and entry.family == family.name:
                return entry
        return None

    def with_entry(self, entry: Entry, implicit: float) -> Quotas:
        """These quotas with a line exchanged or added; a line that says nothing (`implicit` limits, no use) goes."""
        others = [one for one in self.entries if (one.family, one.oid) != (entry.family, entry.oid)]
        if any(entry.used) or any(limit != implicit for limit in entry.limits):
            others.append(entry)
        others.sort(key=lambda one: (one.family, one.oid))
        return msgspec.structs.replace(self, entries=tuple(others))

    def to_xml(self) -> str:
        """The four containers."""
        return "".join(
            f"<{family.container}>{_lines_xml(family, self.entries)}</{family.container}>" for family in FAMILIES
        )


class UserQuotas(Quotas, frozen=True, kw_only=True, omit_defaults=True):
    user_oid: int


class GroupQuotas(Quotas, frozen=True, kw_only=True, omit_defaults=True):
    group_oid: int


class DefaultQuotas(Quotas, frozen=True, kw_only=True, omit_defaults=True):
    """`name`: DEFAULT_USER_QUOTAS or DEFAULT_GROUP_QUOTAS. Nothing is used here; without a limit it is -2."""

    name: str


USER_QUOTAS: Table[UserQuotas] = Table("user_quotas", UserQuotas, key=lambda row: row.user_oid)
GROUP_QUOTAS: Table[GroupQuotas] = Table("group_quotas", GroupQuotas, key=lambda row: row.group_oid)
DEFAULT_QUOTAS: Table[DefaultQuotas] = Table("default_quotas", DefaultQuotas, key=lambda row: row.name)
NO_QUOTAS = Quotas()
NAMES = {USER: "DEFAULT_USER_QUOTAS", GROUP: "DEFAULT_GROUP_QUOTAS"}


def quotas_of(reader: Reader, owner: str, oid: int) -> Quotas:
    """Of a user (`owner` "user") or group ("group")."""
    found = reader.get(USER_QUOTAS, oid) if owner == USER else reader.get(GROUP_QUOTAS, oid)
    return found or NO_QUOTAS


def defaults_of(reader: Reader, owner: str) -> Quotas:
    """The default limits of users or groups."""
    return reader.get(DEFAULT_QUOTAS, NAMES[owner]) or NO_QUOTAS


def defaults_xml(reader: Reader, owner: str) -> str:
    """`<DEFAULT_USER_QUOTAS>` or `<DEFAULT_GROUP_QUOTAS>`."""
    return f"<{NAMES[owner]}>{defaults_of(reader, owner).to_xml()}</{NAMES[owner]}>"


def pool_xml(reader: Reader, owner: str, oid: int) -> str:
    """`<QUOTAS>` as it follows each user or group in their pools."""
    return f"<QUOTAS><ID>{oid}</ID>{quotas_of(reader, owner, oid).to_xml()}</QUOTAS>"


def _lines_xml(family: Family, entries: Iterable[Entry]) -> str:
    return "".join(_line_xml(family, entry) for entry in entries if entry.family == family.name)


def _line_xml(family: Family, entry: Entry) -> str:
    pairs = [] if not family.by_id else [("ID", str(entry.oid))]
    for metric, limit, used in zip(family.metrics, entry.limits, entry.used, strict=True):
        pairs += [(metric, amount(limit)), (f"{metric}_USED", amount(used))]
    return f"<{family.name}>" + "".join(text_element(*pair) for pair in sorted(pairs)) + f"</{family.name}>"


def amount(value: float) -> str:
    """A whole number plainly, any other with two decimals."""
    return str(int(value)) if value == int(value) else f"{value:.2f}"
