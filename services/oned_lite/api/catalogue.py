"""Everything the daemon serves: all methods, tables, duties and timers, gathered from the modules of the kinds."""

from __future__ import annotations

from typing import Any

from services.oned_lite.lifecycle.work import Duty, Timer
from services.oned_lite.model.acl import ACL_RULES
from services.oned_lite.model.group import GROUPS
from services.oned_lite.model.objects import COUNTERS
from services.oned_lite.model.user import USERS
from services.oned_lite.model.vmtemplate import TEMPLATES
from services.oned_lite.model.zone import ZONES
from services.oned_lite.state import Table

from . import system, vmtemplate, zone
from .method import merge

METHODS = merge(
    [
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
)

DUTIES: tuple[Duty, ...] = ()

TIMERS: tuple[Timer, ...] = ()
