"""What all objects of the API have in common: identity, owner, permissions, lock, template, and the kind they are of."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from functools import lru_cache
from typing import Any, Generic, TypeVar

import msgspec

from services.common.template import Template
from services.oned_lite.state import Key, Reader, Table, Transaction

from .errors import no_exists
from .xml import element


class ObjectType(IntEnum):
    """The kinds, with the bit each has in the resources of an ACL rule. Their names stand in messages."""

    VM = 0x1000000000
    HOST = 0x2000000000
    NET = 0x4000000000
    IMAGE = 0x8000000000
    USER = 0x10000000000
    TEMPLATE = 0x20000000000
    GROUP = 0x40000000000
    ACL = 0x80000000000
    DATASTORE = 0x100000000000
    CLUSTER = 0x200000000000
    DOCUMENT = 0x400000000000
    ZONE = 0x800000000000
    SECGROUP = 0x1000000000000
    VDC = 0x2000000000000
    VROUTER = 0x4000000000000
    MARKETPLACE = 0x8000000000000
    MARKETPLACEAPP = 0x10000000000000
    VMGROUP = 0x20000000000000
    VNTEMPLATE = 0x40000000000000
    HOOK = 0x80000000000000
    BACKUPJOB = 0x100000000000000


class Permissions(msgspec.Struct, frozen=True, array_like=True):
    """The nine bits, each 0 or 1."""

    owner_u: int = 1
    owner_m: int = 1
    owner_a: int = 0
    group_u: int = 0
    group_m: int = 0
    group_a: int = 0
    other_u: int = 0
    other_m: int = 0
    other_a: int = 0

    @staticmethod
    def from_octal(mode: int) -> Permissions:
        """0o640 gives owner use and manage, group use."""
        return Permissions(*((mode >> shift) & 1 for shift in range(8, -1, -1)))

    def to_xml(self) -> str:
        return _permissions_xml(self)


@lru_cache(maxsize=1024)
def _permissions_xml(permissions: Permissions) -> str:
    """Every object has permissions, and there are few that differ."""
    bits = "".join(element(name.upper(), getattr(permissions, name)) for name in permissions.__struct_fields__)
    return f"<PERMISSIONS>{bits}</PERMISSIONS>"


class Lock(msgspec.Struct, frozen=True, array_like=True):
    """`level`: 1 use, 2 manage, 3 admin. `time` in epoch seconds."""

    level: int
    owner: int
    time: int
    request_id: int

    def to_xml(self) -> str:
        parts = (("LOCKED", self.level), ("OWNER", self.owner), ("TIME", self.time), ("REQ_ID", self.request_id))
        return "<LOCK>" + "".join(element(tag, value) for tag, value in parts) + "</LOCK>"


class PoolObject(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The fields that every object has; kinds without owner or permissions leave them at their defaults.

    `uname` and `gname` are kept as written: an object outlives the user who made it.
    """

    oid: int
    name: str
    uid: int = 0
    gid: int = 0
    uname: str = "oneadmin"
    gname: str = "oneadmin"
    permissions: Permissions = Permissions()
    lock: Lock | None = None
    template: Template = Template()

    def lock_xml(self) -> str:
        return "" if self.lock is None else self.lock.to_xml()

    def owner_xml(self) -> str:
        """ID, UID, GID, UNAME, GNAME, NAME: how most bodies begin."""
        return (
            f"<ID>{self.oid}</ID><UID>{self.uid}</UID><GID>{self.gid}</GID>"
            f"<UNAME>{self.uname}</UNAME><GNAME>{self.gname}</GNAME><NAME>{self.name}</NAME>"
        )


class NameScope(Enum):
    """Among which objects a name must be unique."""

    POOL = "pool"
    OWNER = "owner"
    NONE = "none"


R = TypeVar("R", bound=PoolObject)


def name_index(scope: NameScope) -> Callable[[PoolObject], tuple[Hashable, ...]]:
    """The index function of names: every kind's table carries it as "name"."""
    if scope is NameScope.OWNER:
        return lambda row: ((row.uid, row.name),)
    return lambda row: (row.name,)


def kind_table(
    name: str,
    row_type: type[R],
    scope: NameScope,
    columns: Mapping[str, Callable[[R], int | str]] | None = None,
    **indexes: Callable[[R], tuple[Hashable, ...]],
) -> Table[R]:
    """A table of objects by id, with the indexes every kind has (name, owner, group) and `indexes` of its own.

    `columns`: how search columns of the database are computed that are not simply attributes of the row."""
    common: dict[str, Callable[[R], tuple[Hashable, ...]]] = {
        "name": name_index(scope),
        "uid": lambda row: (row.uid,),
        "gid": lambda row: (row.gid,),
    }
    return Table(name, row_type, key=lambda row: row.oid, indexes={**common, **indexes}, columns=columns)


@dataclass(frozen=True, slots=True)
class Kind(Generic[R]):
    """A kind of object: what the shared verbs need to know of it.

    `title` is its name in messages ("virtual machine template"), `root` and `pool_root` the XML elements, `prefix` the
    methods' ("one.template"). `render` gives the object's element as pools show it; `render_info`, where it differs, as
    info shows it. `first_oid` is the first id given to an object that users make. `noun` names the kind where a name is
    already taken, if that is not the type's name. `encrypted` names the configuration's list of attributes that are
    stored and shown encrypted.
    """

    type: ObjectType
    title: str
    table: Table[R]
    prefix: str
    root: str
    name_scope: NameScope
    render: Callable[[Reader, R], str]
    render_info: Callable[[Reader, R], str] | None = None
    first_oid: int = 0
    pool_root: str = ""
    cluster_ids: Callable[[Reader, R], tuple[int, ...]] = field(default=lambda _reader, _row: ())
    noun: str = ""
    encrypted: str = ""

    def get(self, reader: Reader, oid: int) -> R:
        """Raises NO_EXISTS where there is none."""
        row = reader.get(self.table, oid) if oid >= 0 else None
        if row is None:
            raise no_exists(self.title, oid)
        return row

    def info_xml(self, reader: Reader, row: R) -> str:
        """The object as info shows it: unlike pools, without vectors that hold nothing."""
        template = row.template.without_empty_vectors()
        if template is not row.template:
            row = msgspec.structs.replace(row, template=template)
        return (self.render_info or self.render)(reader, row)


class Counter(msgspec.Struct, frozen=True):
    """The last id a pool has given out (table pool_control)."""

    tablename: str
    last_oid: int


COUNTERS: Table[Counter] = Table("pool_control", Counter, key=lambda row: row.tablename)


def next_oid(tx: Transaction, kind: Kind[Any]) -> int:
    """Takes the pool's next id; it is given back where the transaction is dropped."""
    counter = tx.get(COUNTERS, kind.table.name)
    oid = kind.first_oid if counter is None else counter.last_oid + 1
    tx.put(COUNTERS, Counter(tablename=kind.table.name, last_oid=oid))
    return oid


def named(reader: Reader, kind: Kind[R], name: str, uid: int) -> Key | None:
    """The id of the object that already has that name in its scope."""
    if kind.name_scope is NameScope.NONE:
        return None
    value: Hashable = (uid, name) if kind.name_scope is NameScope.OWNER else name
    found = reader.find(kind.table, "name", value)
    return found[0] if found else None


__all__ = [
    "COUNTERS",
    "Counter",
    "Kind",
    "Lock",
    "NameScope",
    "ObjectType",
    "Permissions",
    "PoolObject",
    "kind_table",
    "name_index",
    "named",
    "next_oid",
]
