"""Everything the daemon serves: all methods, tables, duties and timers, gathered from the modules of the kinds."""

from __future__ import annotations

from typing import Any

from services.oned_lite.lifecycle.work import Duty, Timer
from services.oned_lite.model.acl import ACL_RULES
from services.oned_lite.model.group import GROUPS
from services.oned_lite.model.objects import COUNTERS
from services.oned_lite.model.user import USERS
from services.oned_lite.model.vmtemplate import TEMPLATES
from services.oned_lite.state import Table

from . import vmtemplate
from .method import merge

METHODS = merge([vmtemplate.METHODS, vmtemplate.POOL_METHODS])

TABLES: tuple[Table[Any], ...] = (COUNTERS, ACL_RULES, USERS.table, GROUPS.table, TEMPLATES.table)

DUTIES: tuple[Duty, ...] = ()

TIMERS: tuple[Timer, ...] = ()
