"""The objects of a fresh database: the first entry of a cluster's log."""

from __future__ import annotations

from collections.abc import Sequence

from services.common.template import Template
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.group import GROUPS, Group
from services.oned_lite.model.objects import COUNTERS, Counter
from services.oned_lite.model.user import USERS, User
from services.oned_lite.model.zone import ZONES, Zone, ZoneServer
from services.oned_lite.policy.authentication import password_hash
from services.oned_lite.state import Transaction

from .bootstrap_market import marketplaces
from .bootstrap_storage import storage_objects


def bootstrap(
    tx: Transaction,
    conf: Configuration,
    *,
    admin: str,
    password: str,
    serveradmin_password: str,
    servers: Sequence[ZoneServer] = (),
) -> None:
    """Writes them. `admin` is the first user's name, normally oneadmin; `servers` are those of a zone with several."""
    _groups(tx)
    _users(tx, admin, password, serveradmin_password)
    _zone(tx, conf, servers)
    storage_objects(tx, conf)
    marketplaces(tx)


def _groups(tx: Transaction) -> None:
    tx.put(GROUPS.table, Group(oid=0, name="oneadmin"))
    tx.put(GROUPS.table, Group(oid=1, name="users"))
    tx.put(COUNTERS, Counter(tablename=GROUPS.table.name, last_oid=99))


def _users(tx: Transaction, admin: str, password: str, serveradmin_password: str) -> None:
    tx.put(USERS.table, User(oid=0, name=admin, password=password_hash(password), group_ids=(0,)))
    tx.put(
        USERS.table,
        User(
            oid=1,
            name="serveradmin",
            auth_driver="server_cipher",
            password=password_hash(serveradmin_password),
            group_ids=(0,),
        ),
    )
    tx.put(COUNTERS, Counter(tablename=USERS.table.name, last_oid=1))


def _zone(tx: Transaction, conf: Configuration, servers: Sequence[ZoneServer]) -> None:
    endpoint = f"http://localhost:{conf.template.get('PORT')}/RPC2"
    zone = Zone(oid=0, name="OpenNebula", servers=tuple(servers), template=Template((("ENDPOINT", endpoint),)))
    tx.put(ZONES.table, zone)
    tx.put(COUNTERS, Counter(tablename=ZONES.table.name, last_oid=99))
