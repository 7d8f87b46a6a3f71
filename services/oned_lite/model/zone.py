"""Zones and the servers of a zone."""

from __future__ import annotations

import msgspec

from services.oned_lite.state import Reader

from .objects import Kind, NameScope, ObjectType, PoolObject, kind_table
from .xml import element, template_element, text_element

LOCAL_ZONE = 0
FIRST_USER_ZONE = 100


class ZoneServer(msgspec.Struct, frozen=True, array_like=True):
    """A server of the zone: its id in consensus, its name, and the XML-RPC endpoint clients reach it at. `extra`: what
    else was said about it."""

    server_id: int
    name: str
    endpoint: str
    extra: tuple[tuple[str, str], ...] = ()

    def to_xml(self) -> str:
        pairs = sorted((("ENDPOINT", self.endpoint), ("ID", str(self.server_id)), ("NAME", self.name), *self.extra))
        return "<SERVER>" + "".join(text_element(*pair) for pair in pairs) + "</SERVER>"


class Zone(PoolObject, frozen=True, kw_only=True, omit_defaults=True):
    """`enabled`: a zone that is switched off answers reads only."""

    enabled: bool = True
    servers: tuple[ZoneServer, ...] = ()


def render(_reader: Reader, row: Zone) -> str:
    """`<ZONE>`, the same in info and pools."""
    servers = "".join(one.to_xml() for one in row.servers)
    return (
        f"<ZONE>{element('ID', row.oid)}{element('NAME', row.name)}{element('STATE', int(not row.enabled))}"
        f"{template_element(row.template)}<SERVER_POOL>{servers}</SERVER_POOL></ZONE>"
    )


ZONES = Kind(
    type=ObjectType.ZONE,
    title="zone",
    table=kind_table("zone_pool", Zone, NameScope.POOL),
    prefix="one.zone",
    root="ZONE",
    pool_root="ZONE_POOL",
    name_scope=NameScope.POOL,
    render=render,
    first_oid=FIRST_USER_ZONE,
)
