"""Zones and the servers of a zone."""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec

from services.common.settings import Address, parse_address
from services.oned_lite.state import Reader

from .objects import Kind, NameScope, ObjectType, PoolObject, kind_table
from .xml import element, template_element, text_element

LOCAL_ZONE = 0
FIRST_USER_ZONE = 100
API_PORT = 2633


class ZoneServer(msgspec.Struct, frozen=True, array_like=True):
    """A server of the zone: its id in consensus, its name, and the XML-RPC endpoint clients reach it at. `extra`: what
    else was said about it. `peer`: HOST:PORT where the other servers reach it, empty for the usual place."""

    server_id: int
    name: str
    endpoint: str
    extra: tuple[tuple[str, str], ...] = ()
    peer: str = ""

    @property
    def peer_address(self) -> Address | None:
        """The usual place is the host of the endpoint and the port after that of XML-RPC. None: it names no host."""
        try:
            return parse_address(self.peer) if self.peer else usual_peer_address(self.endpoint)
        except ValueError:
            return None

    def to_xml(self) -> str:
        peer = (("PEER", self.peer),) if self.peer else ()
        own = (("ENDPOINT", self.endpoint), ("ID", str(self.server_id)), ("NAME", self.name), *peer)
        pairs = sorted((*own, *self.extra))
        return "<SERVER>" + "".join(text_element(*pair) for pair in pairs) + "</SERVER>"


def usual_peer_address(endpoint: str) -> Address:
    """Raises ValueError for what is no URL of a host."""
    url = urlsplit(endpoint)
    host, port = url.hostname or "", (url.port or API_PORT) + 1
    return parse_address(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


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
