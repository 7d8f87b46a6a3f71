"""The database's tables and columns, as data. Both adapters create, read and write them from here.

Names and columns are those of OpenNebula 6.8.0, so that people find their way; each table has one more column, `row`,
the msgpack after-image that the daemon reads back. Everything else is computed from it for whoever looks in: `body` is
the object's XML, the rest serve searches. Tables that OpenNebula does not have hold a key and a row.

Where we differ, on purpose:

- names are not UNIQUE in the database: the state sees to that, and several log entries are written at once;
- `logdb.sqlcmd` is binary (see `logcodec`), `fed_index` is -1 where OpenNebula writes 2**64-1, `timestamp` is when this
  server stored the entry and `applied` stays 0: how far the tables are is one number, `onelite_state.applied_index`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from services.oned_lite.state import Table

SCHEMA_VERSION = 1
NAME_LENGTH_MAX = 128
KEY_LENGTH_MAX = 255


class Type(Enum):
    """A column's type, in words that each dialect translates."""

    INTEGER = "integer"
    BIGINT = "bigint"
    NAME = "name"
    KEY = "key"
    TEXT = "text"
    BYTES = "bytes"


@dataclass(frozen=True, slots=True)
class Column:
    """`source` is the row's attribute that fills it where that has another name than the column."""

    name: str
    type: Type = Type.INTEGER
    source: str = ""


@dataclass(frozen=True, slots=True)
class TableSpec:
    """`key` names the columns of the primary key; `indexes` are lists of columns to search by."""

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    indexes: tuple[tuple[str, ...], ...] = ()

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)


ROW = Column("row", Type.BYTES)
BODY = Column("body", Type.TEXT)
OID = Column("oid")
NAME = Column("name", Type.NAME)
OWNER = (Column("uid"), Column("gid"))
PERMISSIONS = (Column("owner_u"), Column("group_u"), Column("other_u"))
STANDARD = (OID, NAME, BODY, *OWNER, *PERMISSIONS)


def _pool(name: str, *extra: Column, columns: tuple[Column, ...] = STANDARD, search: tuple[str, ...] = ()) -> TableSpec:
    indexes = (("name",), search) if search else (("name",),)
    return TableSpec(name, ("oid",), (*columns, *extra, ROW), indexes)


def _plain(name: str, *columns: Column, key: int = 1) -> TableSpec:
    """A table whose first `key` columns are the primary key."""
    return TableSpec(name, tuple(column.name for column in columns[:key]), (*columns, ROW))


UPSTREAM: dict[str, TableSpec] = {
    spec.name: spec
    for spec in (
        *map(_pool, ("cluster_pool", "group_pool", "user_pool", "vdc_pool", "zone_pool")),
        *map(_pool, ("image_pool", "secgroup_pool", "vmgroup_pool", "marketplaceapp_pool")),
        *map(_pool, ("template_pool", "vn_template_pool", "datastore_pool", "vrouter_pool", "marketplace_pool")),
        _pool("network_pool", Column("pid")),
        _pool("document_pool", Column("type")),
        _pool("hook_pool", Column("type", source="hook_type")),
        _pool("backupjob_pool", Column("priority"), Column("outdated_vms")),
        _pool("host_pool", columns=(OID, NAME, BODY, Column("state"), *OWNER, *PERMISSIONS, Column("cid"))),
        _pool(
            "vm_pool",
            columns=(OID, NAME, BODY, *OWNER, Column("state"), Column("lcm_state"), *PERMISSIONS),
            search=("state", "oid"),
        ),
        _plain("history", Column("vid"), Column("seq"), BODY, Column("stime"), Column("etime"), key=2),
        _plain("vm_monitoring", Column("vmid"), Column("last_poll"), BODY, key=2),
        # one row holds a host's latest records together, unlike OpenNebula's one row for each
        _plain("host_monitoring", Column("hid"), BODY),
        _plain("vm_showback", Column("vmid"), Column("year"), Column("month"), BODY, key=3),
        _plain("vm_import", Column("deploy_id", Type.NAME), Column("vmid")),
        _plain(
            "acl",
            OID,
            Column("userset", Type.BIGINT, "user"),
            Column("resource", Type.BIGINT),
            Column("rights", Type.BIGINT),
            Column("zone", Type.BIGINT),
        ),
        _plain("user_quotas", Column("user_oid"), BODY),
        _plain("group_quotas", Column("group_oid"), BODY),
        _plain("hook_log", Column("hkid"), Column("exeid"), Column("timestamp"), Column("rc"), BODY, key=2),
        _plain(
            "schedaction_pool",
            OID,
            Column("parent_id"),
            Column("type", Type.NAME),
            BODY,
            Column("time"),
            Column("done"),
        ),
        _plain("cluster_datastore_relation", Column("cid"), OID, key=2),
        _plain("cluster_network_relation", Column("cid"), OID, key=2),
        _plain("cluster_vnc_bitmap", Column("id"), Column("map", Type.TEXT)),
        _plain("network_vlan_bitmap", Column("id"), Column("map", Type.TEXT)),
        _plain("pool_control", Column("tablename", Type.NAME), Column("last_oid", Type.BIGINT)),
        _plain("system_attributes", Column("name", Type.NAME), BODY),
        _plain("db_versioning", OID, Column("version", Type.KEY), Column("timestamp"), Column("comment", Type.KEY)),
    )
}

LOGDB = TableSpec(
    "logdb",
    ("log_index",),
    (
        Column("log_index", Type.BIGINT),
        Column("term", Type.BIGINT),
        Column("sqlcmd", Type.BYTES),
        Column("timestamp", Type.BIGINT),
        Column("fed_index", Type.BIGINT),
        Column("applied"),
    ),
)

SYSTEM_ATTRIBUTES = UPSTREAM["system_attributes"]
"""Holds, beside replicated rows, this server's own term and vote: row RAFT_STATE, which has no `row`."""

STATE = TableSpec("onelite_state", ("name",), (Column("name", Type.NAME), Column("value", Type.TEXT)))
"""This server's own numbers: schema, applied_index, snapshot."""


def table_spec(table: Table[Any]) -> TableSpec:
    """How `table` is stored: as OpenNebula does, or as key and row."""
    return UPSTREAM.get(table.name) or TableSpec(table.name, ("key",), (Column("key", Type.KEY), ROW))


def table_specs(tables: Iterable[Table[Any]]) -> dict[str, TableSpec]:
    return {table.name: table_spec(table) for table in tables}
