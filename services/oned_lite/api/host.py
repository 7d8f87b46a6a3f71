"""one.host.*: the machines that VMs run on."""

from __future__ import annotations

import msgspec

from services.common.template import Template
from services.oned_lite.model.cluster import CLUSTERS, DEFAULT_CLUSTER
from services.oned_lite.model.errors import action, internal
from services.oned_lite.model.history import HISTORY
from services.oned_lite.model.host import HOST_MONITORING, HOSTS, RESERVATIONS, Host, HostState
from services.oned_lite.model.objects import ObjectType
from services.oned_lite.model.removal import remove
from services.oned_lite.model.vm import VMS
from services.oned_lite.policy.authorization import Right
from services.oned_lite.policy.names import name_fault, taken_by

from . import shared
from .call import Call
from .method import MethodTable
from .pieces import Pieces
from .shared.info import ALL_FILTER, listed
from .shared.register import register

METHODS = MethodTable("one.host")
POOL_METHODS = MethodTable("one.hostpool")
ENABLED, DISABLED, OFFLINE = 0, 1, 2
NO_CLUSTER = -1

register(METHODS, HOSTS, "info")


@METHODS.add("allocate")
def allocate(call: Call, name: str, im_mad: str, vm_mad: str, cluster_id: int) -> int:
    """A new host, to be monitored at once; cluster -1 means the default one."""
    cluster = CLUSTERS.get(call.tx, DEFAULT_CLUSTER if cluster_id == NO_CLUSTER else cluster_id)
    call.authorize().create(ObjectType.HOST).need(Right.ADMIN, CLUSTERS, cluster).check()
    fault = name_fault(name) or taken_by(call.tx, HOSTS, name, call.caller.uid)
    if fault is not None:
        raise internal(fault)
    template = RESERVATIONS.merge(Template.of(IM_MAD=im_mad, VM_MAD=vm_mad))
    row = Host(
        oid=call.next_oid(HOSTS), name=name, im_mad=im_mad, vm_mad=vm_mad, cluster_id=cluster.oid, template=template
    )
    return call.tx.put(HOSTS.table, row).oid


@METHODS.add("delete")
def delete(call: Call, oid: int, recursive: bool = False) -> int:
    row = call.fetch(HOSTS, oid, Right.ADMIN)
    if row.vm_ids:
        raise action("Cannot delete host. Can not remove a host with running VMs")
    remove(call.tx, HOSTS, oid)
    call.tx.delete(HOST_MONITORING, oid)
    return oid


@METHODS.add("status")
def status(call: Call, oid: int, code: int) -> int:
    """0 enabled, 1 disabled (monitored, takes no VMs by the scheduler), 2 offline (not looked at at all)."""
    row = call.fetch(HOSTS, oid, Right.ADMIN)
    if code == ENABLED:
        row = msgspec.structs.replace(row, state=HostState.INIT, monitored_at=0)
    elif code == DISABLED:
        row = msgspec.structs.replace(row, state=HostState.DISABLED)
    elif code == OFFLINE:
        row = msgspec.structs.replace(row, state=HostState.OFFLINE, total_cpu=0, total_mem=0)
    else:
        raise internal("Wrong status code")
    call.tx.put(HOSTS.table, msgspec.structs.replace(row, step=row.step + 1))
    return oid


@METHODS.add("update")
def update(call: Call, oid: int, text: str, append: int = 0) -> int:
    return shared.update(call, HOSTS, oid, text, append, right=Right.ADMIN, finish=_with_drivers)


def _with_drivers(call: Call, row: Host, template: Template) -> Host:
    """A host always names its drivers: those given count from now on, those not given stay."""
    im_mad = template.get("IM_MAD") or row.im_mad
    vm_mad = template.get("VM_MAD") or row.vm_mad
    template = template.with_set("IM_MAD", im_mad).with_set("VM_MAD", vm_mad)
    return msgspec.structs.replace(row, im_mad=im_mad, vm_mad=vm_mad, template=template)


@METHODS.add("rename")
def rename(call: Call, oid: int, name: str) -> int:
    """The VMs on the host show its new name in their current record."""
    shared.rename(call, HOSTS, oid, name, right=Right.ADMIN)
    for vm_oid in HOSTS.get(call.tx, oid).vm_ids:
        vm = call.tx.get(VMS.table, vm_oid)
        record = None if vm is None else call.tx.get(HISTORY, (vm_oid, vm.seq))
        if record is not None and record.hid == oid:
            call.tx.put(HISTORY, msgspec.structs.replace(record, hostname=name))
    return oid


@METHODS.add("monitoring", reads=True)
def monitoring(call: Call, oid: int) -> str:
    call.fetch(HOSTS, oid, Right.USE)
    return f"<MONITORING_DATA>{_records(call, oid, -1)}</MONITORING_DATA>"


def _records(call: Call, oid: int, seconds: int) -> str:
    """All records, only the last (0), or those of the last `seconds`."""
    monitored = call.tx.get(HOST_MONITORING, oid)
    if monitored is None:
        return ""
    if seconds == 0:
        return "".join(xml for _, xml in monitored.records[-1:])
    return "".join(xml for at, xml in monitored.records if seconds < 0 or at >= call.tx.now - seconds)


@POOL_METHODS.read("info")
def pool_info(call: Call) -> Pieces:
    return shared.pool_info(call, HOSTS, ALL_FILTER, -1, -1)


@POOL_METHODS.read("monitoring")
def pool_monitoring(call: Call, seconds: int = -1) -> str:
    body = "".join(_records(call, row.oid, seconds) for row in listed(call, HOSTS, ALL_FILTER, -1, -1))
    return f"<MONITORING_DATA>{body}</MONITORING_DATA>"
