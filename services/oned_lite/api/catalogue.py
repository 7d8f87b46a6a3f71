"""Everything the daemon serves: all methods, tables, duties and timers, gathered from the modules of the kinds."""

from __future__ import annotations

from typing import Any

from services.oned_lite.lifecycle import datastore as datastore_life
from services.oned_lite.lifecycle import image as image_life
from services.oned_lite.lifecycle.work import Duty, Timer
from services.oned_lite.model.acl import ACL_RULES
from services.oned_lite.model.cluster import CLUSTERS
from services.oned_lite.model.datastore import DATASTORES
from services.oned_lite.model.group import GROUPS
from services.oned_lite.model.host import HOSTS
from services.oned_lite.model.image import IMAGES
from services.oned_lite.model.objects import COUNTERS
from services.oned_lite.model.user import USERS
from services.oned_lite.model.vmtemplate import TEMPLATES
from services.oned_lite.model.zone import ZONES
from services.oned_lite.state import Table

from . import cluster, datastore, image, system, vmtemplate, zone
from .method import merge

METHODS = merge(
    [
        cluster.METHODS,
        cluster.POOL_METHODS,
        datastore.METHODS,
        datastore.POOL_METHODS,
        image.METHODS,
        image.POOL_METHODS,
        system.METHODS,
        vmtemplate.METHODS,
        vmtemplate.POOL_METHODS,
        zone.METHODS,
    ]
)

TABLES: tuple[Table[Any], ...] = (
    COUNTERS,
    ACL_RULES,
    USERS.table,
    GROUPS.table,
    TEMPLATES.table,
    ZONES.table,
    CLUSTERS.table,
    HOSTS.table,
    DATASTORES.table,
    IMAGES.table,
)

DUTIES: tuple[Duty, ...] = (datastore_life.DUTY, image_life.DUTY)

TIMERS: tuple[Timer, ...] = (datastore_life.TIMER,)
