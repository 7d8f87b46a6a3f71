"""The objects of a fresh database: the first entry of a cluster's log."""

from __future__ import annotations

from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.group import GROUPS, Group
from services.oned_lite.model.objects import COUNTERS, Counter
from services.oned_lite.model.user import USERS, User
from services.oned_lite.policy.authentication import password_hash
from services.oned_lite.state import Transaction


def bootstrap(tx: Transaction, conf: Configuration, *, admin: str, password: str, serveradmin_password: str) -> None:
    """Writes them. `admin` is the first user's name, normally oneadmin; `conf` decides e.g. the datastores' location."""
    _groups(tx)
    _users(tx, admin, password, serveradmin_password)


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
