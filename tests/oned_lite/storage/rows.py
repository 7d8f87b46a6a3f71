"""Tables and rows to store, one of each shape the schema knows."""

from __future__ import annotations

import msgspec

from services.oned_lite.model.acl import ACL_RULES
from services.oned_lite.model.objects import COUNTERS, Counter
from services.oned_lite.model.vmtemplate import TEMPLATES, VmTemplate
from services.oned_lite.raft.types import Configuration, Entry, EntryKind, SnapshotMeta
from services.oned_lite.state import Change, Table


class Note(msgspec.Struct, frozen=True):
    """A row of a table that OpenNebula does not have."""

    place: tuple[int, ...]
    text: str


class Relation(msgspec.Struct, frozen=True):
    cid: int
    oid: int


NOTES = Table("note", Note, key=lambda row: row.place)
RELATIONS = Table("cluster_datastore_relation", Relation, key=lambda row: (row.cid, row.oid))
TABLES = (TEMPLATES.table, ACL_RULES, COUNTERS, NOTES, RELATIONS)
CONFIGURATION = Configuration(voters=(0, 1, 2))


def template(oid: int, name: str = "") -> Change:
    row = VmTemplate(oid=oid, name=name or f"template-{oid}", uid=2, gid=100, regtime=1_700_000_000)
    return Change("template_pool", oid, TEMPLATES.table.encode(row))


def counter(name: str, last_oid: int) -> Change:
    return Change("pool_control", name, COUNTERS.encode(Counter(tablename=name, last_oid=last_oid)))


def note(*place: int, text: str = "hello") -> Change:
    return Change("note", place, NOTES.encode(Note(place, text)))


def relation(cid: int, oid: int) -> Change:
    return Change("cluster_datastore_relation", (cid, oid), RELATIONS.encode(Relation(cid, oid)))


def entries(first: int, last: int, term: int = 1, size: int = 200) -> tuple[Entry, ...]:
    return tuple(Entry(index, term, EntryKind.DATA, _data(index, term, size)) for index in range(first, last + 1))


def _data(index: int, term: int, size: int) -> bytes:
    """Bytes that no text encoding survives, and quotes."""
    return (f"{term}/{index}'\"\\%s".encode() + bytes(range(256)) * (size // 256 + 1))[:size]


def snapshot(index: int, term: int = 1) -> SnapshotMeta:
    return SnapshotMeta(index, term, CONFIGURATION)


def by_place(changes: tuple[Change, ...]) -> dict[tuple[str, object], bytes | None]:
    return {(change.table, change.key): change.row for change in changes}
