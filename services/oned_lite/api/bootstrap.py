"""The objects of a fresh database: the first entry of a cluster's log."""

from __future__ import annotations

from collections.abc import Sequence

from services.common.template import Template, Vector
from services.oned_lite.model import acl
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.group import GROUPS, Group
from services.oned_lite.model.objects import COUNTERS, Counter, ObjectType
from services.oned_lite.model.secret import SECRETS, ZONE_KEY, Secret
from services.oned_lite.model.user import CORE, USERS, User
from services.oned_lite.model.vdc import ALL_RESOURCES, DEFAULT_VDC, VDCS, Resource, Vdc
from services.oned_lite.model.zone import LOCAL_ZONE, ZONES, Zone, ZoneServer
from services.oned_lite.policy.authentication import password_hash
from services.oned_lite.policy.caller import ONEADMIN_GID, ONEADMIN_UID, USERS_GID
from services.oned_lite.policy.delegation import SERVER_CIPHER
from services.oned_lite.state import Transaction

from .bootstrap_market import marketplaces
from .bootstrap_network import network_objects
from .bootstrap_storage import storage_objects
from .group import FIRST_USER_GROUP
from .vdc_rules import join

SERVERADMIN_UID = 1
USERS_TEMPLATE = Template.of(
    SUNSTONE=Vector.of(
        DEFAULT_VIEW="cloud", GROUP_ADMIN_DEFAULT_VIEW="groupadmin", GROUP_ADMIN_VIEWS="groupadmin,cloud", VIEWS="cloud"
    )
)
VDC_TEMPLATE = Template.of(
    DESCRIPTION="Every new group is added to this VDC. Use it to store default access rules for your groups. NOTE: You "
    "may need to remove a group from the default VDC before assigning it to other VDC."
)
CREATABLE = (
    ObjectType.VM,
    ObjectType.IMAGE,
    ObjectType.TEMPLATE,
    ObjectType.DOCUMENT,
    ObjectType.SECGROUP,
    ObjectType.VMGROUP,
    ObjectType.BACKUPJOB,
)
"""What members of group users may create."""


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
    _access(tx, conf)
    tx.put(SECRETS, Secret(name=ZONE_KEY, value=tx.random(32).hex()))
    storage_objects(tx, conf)
    network_objects(tx)
    marketplaces(tx)


def _groups(tx: Transaction) -> None:
    for oid, name, template in ((ONEADMIN_GID, "oneadmin", Template()), (USERS_GID, "users", USERS_TEMPLATE)):
        tx.put(GROUPS.table, Group(oid=oid, name=name, gid=oid, gname=name, template=template))
    tx.put(COUNTERS, Counter(tablename=GROUPS.table.name, last_oid=FIRST_USER_GROUP - 1))


def _users(tx: Transaction, admin: str, password: str, serveradmin_password: str) -> None:
    _user(tx, ONEADMIN_UID, admin, CORE, password)
    _user(tx, SERVERADMIN_UID, "serveradmin", SERVER_CIPHER, serveradmin_password)
    tx.put(COUNTERS, Counter(tablename=USERS.table.name, last_oid=SERVERADMIN_UID))


def _user(tx: Transaction, oid: int, name: str, driver: str, password: str) -> None:
    row = User(
        oid=oid,
        name=name,
        uid=oid,
        uname=name,
        auth_driver=driver,
        password=password_hash(password),
        group_ids=(ONEADMIN_GID,),
        template=Template.of(TOKEN_PASSWORD=tx.random(32).hex()),
    )
    tx.put(USERS.table, row)


def _access(tx: Transaction, conf: Configuration) -> None:
    """What users may create, what everybody may see, and the VDC that new groups join."""
    makers = acl.GROUP | USERS_GID
    acl.add_rule(tx, makers, sum(CREATABLE) | acl.ALL, acl.CREATE, acl.ANY_ZONE)
    acl.add_rule(tx, acl.ALL, ObjectType.ZONE | acl.ALL, acl.USE, acl.ANY_ZONE)
    markets = ObjectType.MARKETPLACE | ObjectType.MARKETPLACEAPP
    acl.add_rule(tx, acl.ALL, markets | acl.ALL, acl.USE, acl.ANY_ZONE)
    everything = Resource(LOCAL_ZONE, ALL_RESOURCES)
    vdc = Vdc(oid=DEFAULT_VDC, name="default", clusters=(everything,), template=VDC_TEMPLATE)
    join(tx, conf, vdc, USERS_GID)
    tx.put(COUNTERS, Counter(tablename=VDCS.table.name, last_oid=VDCS.first_oid - 1))


def _zone(tx: Transaction, conf: Configuration, servers: Sequence[ZoneServer]) -> None:
    endpoint = f"http://localhost:{conf.template.get('PORT')}/RPC2"
    zone = Zone(oid=0, name="OpenNebula", servers=tuple(servers), template=Template((("ENDPOINT", endpoint),)))
    tx.put(ZONES.table, zone)
    tx.put(COUNTERS, Counter(tablename=ZONES.table.name, last_oid=99))
