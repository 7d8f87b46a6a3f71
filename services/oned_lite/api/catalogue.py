"""Everything the daemon serves: all methods, tables, duties and timers, gathered from the modules of the kinds."""

from __future__ import annotations

from typing import Any

from services.oned_lite.lifecycle import backupjob_runs, host_recovery, scheduler, vm_updates
from services.oned_lite.lifecycle import datastore as datastore_life
from services.oned_lite.lifecycle import hook as hook_life
from services.oned_lite.lifecycle import host as host_life
from services.oned_lite.lifecycle import image as image_life
from services.oned_lite.lifecycle import marketplace as market_life
from services.oned_lite.lifecycle import secgroup as secgroup_life
from services.oned_lite.lifecycle import vm as vm_life
from services.oned_lite.lifecycle import vnet as vnet_life
from services.oned_lite.lifecycle.work import Duty, Timer
from services.oned_lite.model.acl import ACL_RULES
from services.oned_lite.model.backupjob import BACKUPJOBS
from services.oned_lite.model.cluster import CLUSTERS
from services.oned_lite.model.datastore import DATASTORES
from services.oned_lite.model.document import DOCUMENTS
from services.oned_lite.model.group import GROUPS
from services.oned_lite.model.history import HISTORY
from services.oned_lite.model.hook import HOOK_LOG, HOOK_QUEUE, HOOKS
from services.oned_lite.model.host import HOST_MONITORING, HOSTS
from services.oned_lite.model.host_recovery import HOST_RECOVERIES
from services.oned_lite.model.image import IMAGES
from services.oned_lite.model.lease import LEASES
from services.oned_lite.model.marketplace import APPS, MARKETPLACES
from services.oned_lite.model.objects import COUNTERS
from services.oned_lite.model.quota import DEFAULT_QUOTAS, GROUP_QUOTAS, USER_QUOTAS
from services.oned_lite.model.scheduled_action import SCHEDULED_ACTIONS
from services.oned_lite.model.secgroup import SECGROUPS
from services.oned_lite.model.secret import SECRETS
from services.oned_lite.model.showback import SHOWBACK
from services.oned_lite.model.sql_tables import SQL_TABLES
from services.oned_lite.model.user import USERS
from services.oned_lite.model.vdc import VDCS
from services.oned_lite.model.vm import VMS
from services.oned_lite.model.vm_uses import VM_USES
from services.oned_lite.model.vmgroup import VMGROUPS
from services.oned_lite.model.vmtemplate import TEMPLATES
from services.oned_lite.model.vnet import VNETS
from services.oned_lite.model.vntemplate import VNTEMPLATES
from services.oned_lite.model.vrouter import VROUTERS
from services.oned_lite.model.zone import ZONES
from services.oned_lite.state import Table

from . import (
    acl,
    backupjob,
    cluster,
    datastore,
    document,
    group,
    hook,
    host,
    image,
    market_federation,
    marketapp,
    marketplace,
    scheduled_runs,
    secgroup,
    sql,
    system,
    template_instantiate,
    user,
    user_login,
    vdc,
    vm,
    vm_accounting,
    vm_actions,
    vm_allocate,
    vm_backup,
    vm_config,
    vm_disks,
    vm_nics,
    vm_sched,
    vm_snapshots,
    vmgroup,
    vmpool,
    vmtemplate,
    vn,
    vn_addresses,
    vn_reserve,
    vntemplate,
    vrouter,
    vrouter_machines,
    zone,
)
from .method import merge

METHODS = merge(
    [
        acl.METHODS,
        backupjob.METHODS,
        backupjob.POOL_METHODS,
        cluster.METHODS,
        cluster.POOL_METHODS,
        datastore.METHODS,
        datastore.POOL_METHODS,
        document.METHODS,
        document.POOL_METHODS,
        group.METHODS,
        group.POOL_METHODS,
        group.QUOTA_METHODS,
        hook.METHODS,
        hook.LOG_METHODS,
        hook.POOL_METHODS,
        host.METHODS,
        host.POOL_METHODS,
        image.METHODS,
        image.POOL_METHODS,
        market_federation.APP_METHODS,
        market_federation.METHODS,
        marketapp.METHODS,
        marketapp.POOL_METHODS,
        marketplace.METHODS,
        marketplace.POOL_METHODS,
        secgroup.METHODS,
        secgroup.POOL_METHODS,
        sql.METHODS,
        system.METHODS,
        user.METHODS,
        user.POOL_METHODS,
        user.QUOTA_METHODS,
        user_login.METHODS,
        vdc.METHODS,
        vdc.POOL_METHODS,
        vm.METHODS,
        vm_accounting.METHODS,
        vm_actions.METHODS,
        vm_allocate.METHODS,
        vm_backup.METHODS,
        vm_config.METHODS,
        vm_disks.METHODS,
        vm_nics.METHODS,
        vm_sched.METHODS,
        vm_snapshots.METHODS,
        vmgroup.METHODS,
        vmgroup.POOL_METHODS,
        vmpool.METHODS,
        template_instantiate.METHODS,
        vmtemplate.METHODS,
        vmtemplate.POOL_METHODS,
        vn.METHODS,
        vn.POOL_METHODS,
        vn_addresses.METHODS,
        vn_reserve.METHODS,
        vntemplate.METHODS,
        vntemplate.POOL_METHODS,
        vrouter.METHODS,
        vrouter.POOL_METHODS,
        vrouter_machines.METHODS,
        zone.METHODS,
        zone.POOL_METHODS,
    ]
)

TABLES: tuple[Table[Any], ...] = (
    COUNTERS,
    ACL_RULES,
    USERS.table,
    GROUPS.table,
    TEMPLATES.table,
    ZONES.table,
    VDCS.table,
    SECRETS,
    SQL_TABLES,
    CLUSTERS.table,
    HOSTS.table,
    DATASTORES.table,
    IMAGES.table,
    VMS.table,
    VMGROUPS.table,
    VNETS.table,
    VNTEMPLATES.table,
    VROUTERS.table,
    LEASES,
    SECGROUPS.table,
    VM_USES,
    HISTORY,
    SHOWBACK,
    HOST_MONITORING,
    SCHEDULED_ACTIONS,
    USER_QUOTAS,
    GROUP_QUOTAS,
    DEFAULT_QUOTAS,
    DOCUMENTS.table,
    MARKETPLACES.table,
    APPS.table,
    HOOKS.table,
    HOOK_LOG,
    HOOK_QUEUE,
    HOST_RECOVERIES,
    BACKUPJOBS.table,
)

DUTIES: tuple[Duty, ...] = (
    datastore_life.DUTY,
    image_life.DUTY,
    market_life.DUTY,
    market_life.LOOK_DUTY,
    hook_life.DUTY,
    host_recovery.DUTY,
    host_life.DUTY,
    secgroup_life.DUTY,
    vm_life.DUTY,
    vnet_life.DUTY,
)

TIMERS: tuple[Timer, ...] = (
    datastore_life.TIMER,
    backupjob_runs.TIMER,
    host_recovery.TIMER,
    market_life.TIMER,
    scheduled_runs.TIMER,
    scheduler.TIMER,
    vm_updates.TIMER,
)
