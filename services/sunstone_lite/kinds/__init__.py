"""Every kind of object the UI shows. A new page is a descriptor here, its words in the catalog, nothing else."""

from services.sunstone_lite.kinds.access import GROUPS, USERS
from services.sunstone_lite.kinds.base import Action, Call, Column, Kind, Table
from services.sunstone_lite.kinds.datastore import DATASTORES
from services.sunstone_lite.kinds.host import HOSTS
from services.sunstone_lite.kinds.image import IMAGES
from services.sunstone_lite.kinds.network import NETWORKS
from services.sunstone_lite.kinds.place import CLUSTERS, ZONES
from services.sunstone_lite.kinds.template import TEMPLATES
from services.sunstone_lite.kinds.vm import VMS

__all__ = ["KINDS", "SECTIONS", "Action", "Call", "Column", "Kind", "Table"]

KINDS: dict[str, Kind] = {
    kind.key: kind for kind in (VMS, TEMPLATES, IMAGES, DATASTORES, NETWORKS, HOSTS, CLUSTERS, ZONES, USERS, GROUPS)
}

# The menu: groups of kinds, in the order people work.
SECTIONS: tuple[tuple[Kind, ...], ...] = (
    (VMS, TEMPLATES),
    (IMAGES, DATASTORES, NETWORKS),
    (HOSTS, CLUSTERS, ZONES),
    (USERS, GROUPS),
)
