"""The scheduler: puts pending VMs onto hosts and datastores, and moves those that ask to be rescheduled."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec.structs import replace

from services.common.template import Template, Vector
from services.oned_lite.model import lease
from services.oned_lite.model.cluster import CLUSTERS
from services.oned_lite.model.datastore import DATASTORES, Datastore, DatastoreType
from services.oned_lite.model.host import HOSTS, Host, HostState, cluster_name, max_cpu, max_mem
from services.oned_lite.model.user import USERS
from services.oned_lite.model.vm import VMS, Vm, current_record
from services.oned_lite.model.vm_states import LcmState, VmState
from services.oned_lite.model.vnet import LEASING, VNETS, Vnet
from services.oned_lite.policy.authentication import caller_of
from services.oned_lite.policy.authorization import Right, allowed
from services.oned_lite.policy.caller import Caller
from services.oned_lite.policy.expressions import ExpressionError, Lookup, rank, requirement
from services.oned_lite.state import Reader
from services.oned_lite.state.table import rows, scan

from . import affinity, host_share, leases, vm_auto_nics, vm_requests
from .vm_editor import Actor, VmEditor
from .work import Step, Timer

DISPATCHED_MAX = 50
"""VMs placed in one run: one log entry stays small, and the next run follows at once."""
CONSIDERED_MAX = 2000
SCHEDULER = Actor(0, 0, 0)
DEFAULT_HOST_RANK = "0 - RUNNING_VMS"
DEFAULT_DATASTORE_RANK = "FREE_MB"
DEFAULT_NETWORK_RANK = "0 - USED_LEASES"
INTERVAL_S = 15.0


class Unplaceable(Exception):
    """Why no place was found: what SCHED_MESSAGE says."""


@dataclass(slots=True)
class Places:
    """Where VMs could go, in one run. Hosts are looked up again for each VM: placing one changes them."""

    host_ids: list[int]
    datastore_ids: list[int]
    callers: dict[int, Caller | None] = field(default_factory=dict)


def run(step: Step) -> None:
    """One look at everything that waits."""
    waiting = rows(step.tx, VMS.table, "state", int(VmState.PENDING))
    movers = [vm for vm in rows(step.tx, VMS.table, "resched", True) if vm_requests.resting(vm) in _MOVABLE]
    if not waiting and not movers:
        return
    places = _places(step.tx)
    dispatched = 0
    for vm in [*_by_priority(waiting)[:CONSIDERED_MAX], *movers]:
        if dispatched == DISPATCHED_MAX:
            return
        dispatched += _dispatch(step, places, vm)


_MOVABLE = (LcmState.RUNNING, LcmState.UNKNOWN, VmState.POWEROFF)


def _by_priority(waiting: Iterable[Vm]) -> list[Vm]:
    """USER_PRIORITY first, then who came first."""
    return sorted(waiting, key=lambda vm: (-(vm.user_template.get_float("USER_PRIORITY", 0.0)), vm.oid))


def _places(reader: Reader) -> Places:
    hosts = [row.oid for row in scan(reader, HOSTS.table) if row.state == HostState.MONITORED]
    datastores = [row.oid for row in rows(reader, DATASTORES.table, "type", DatastoreType.SYSTEM_DS) if row.enabled]
    return Places(hosts, datastores)


def _dispatch(step: Step, places: Places, vm: Vm) -> bool:
    try:
        host, datastore = _choose(step.tx, places, vm, step)
        networks = _choose_networks(step.tx, places, vm, host, step)
    except (Unplaceable, ExpressionError) as why:
        _explain(step, vm, str(why))
        return False
    e = VmEditor(step.tx, _without_message(vm), step.conf)
    vm_auto_nics.settle(e, networks)
    if vm.resched:
        record = e.record
        target = step.tx.get(DATASTORES.table, record.ds_id) or datastore
        vm_requests.migrate(e, host, target, SCHEDULER, live=False, kind=0)
    else:
        vm_requests.deploy(e, host, datastore)
    return True


def _without_message(vm: Vm) -> Vm:
    return replace(vm, user_template=vm.user_template.without("SCHED_MESSAGE"))


def _explain(step: Step, vm: Vm, why: str) -> None:
    """Says in SCHED_MESSAGE why the VM waits; only when that has changed, for every write wakes the scheduler."""
    before = vm.user_template.get("SCHED_MESSAGE")
    if before.partition(" : ")[2] == why:
        return
    message = f"{time.asctime(time.gmtime(step.tx.now))} : {why}"
    step.tx.put(VMS.table, replace(vm, user_template=vm.user_template.with_set("SCHED_MESSAGE", message)))


# ---------------------------------------------------------------------- choosing
def _choose(reader: Reader, places: Places, vm: Vm, step: Step) -> tuple[Host, Datastore]:
    """The best host that has a datastore for the VM, and the best such datastore."""
    hosts = _fitting_hosts(reader, places, vm, step)
    by_rank = rank(vm.user_template.get("SCHED_RANK") or vm.user_template.get("RANK") or DEFAULT_HOST_RANK)
    ranked = sorted(hosts, key=lambda host: (-by_rank(host_lookup(reader, host)), host.oid))
    for host in ranked:
        datastore = _best_datastore(reader, places, vm, host)
        if datastore is not None:
            return host, datastore
    wanted = vm.user_template.get("SCHED_DS_REQUIREMENTS")
    raise Unplaceable(f"No system datastore meets capacity and SCHED_DS_REQUIREMENTS: {wanted}".rstrip(": "))


def _fitting_hosts(reader: Reader, places: Places, vm: Vm, step: Step) -> list[Host]:
    automatic = requirement(vm.template.get("AUTOMATIC_REQUIREMENTS"))
    wanted = vm.user_template.get("SCHED_REQUIREMENTS")
    asked = requirement(wanted)
    caller = _caller(reader, places, vm, step)
    here = current_record(reader, vm) if vm.resched else None
    suitable = []
    for oid in places.host_ids:
        host = reader.get(HOSTS.table, oid)
        if host is None or (here is not None and here.hid == oid):
            continue
        lookup = host_lookup(reader, host)
        if (
            caller is not None
            and allowed(reader, caller, Right.MANAGE, HOSTS, host)
            and automatic(lookup)
            and asked(lookup)
        ):
            suitable.append(host)
    if not places.host_ids:
        raise Unplaceable("No hosts enabled to run VMs")
    if not suitable:
        raise Unplaceable(f"No host meets SCHED_REQUIREMENTS: {wanted}".rstrip(": "))
    wishes = affinity.of(reader, vm)
    suitable = [host for host in suitable if wishes.allows(host.oid)]
    if not suitable:
        raise Unplaceable("No host meets the affinity rules of the VM's group")
    fitting = [host for host in suitable if host_share.misfit(reader, host, vm) is None]
    if not fitting:
        raise Unplaceable("No host with enough capacity to deploy the VM")
    return fitting


def _caller(reader: Reader, places: Places, vm: Vm, step: Step) -> Caller | None:
    """The VM's owner, whose rights on hosts count."""
    if vm.uid not in places.callers:
        user = reader.get(USERS.table, vm.uid)
        places.callers[vm.uid] = None if user is None else caller_of(reader, step.conf, user)
    return places.callers[vm.uid]


def _best_datastore(reader: Reader, places: Places, vm: Vm, host: Host) -> Datastore | None:
    automatic = requirement(vm.template.get("AUTOMATIC_DS_REQUIREMENTS"))
    asked = requirement(vm.user_template.get("SCHED_DS_REQUIREMENTS"))
    by_rank = rank(vm.user_template.get("SCHED_DS_RANK") or DEFAULT_DATASTORE_RANK)
    needed = system_disk_mb(vm.template)
    found: list[tuple[float, int, Datastore]] = []
    for oid in places.datastore_ids:
        datastore = reader.get(DATASTORES.table, oid)
        if datastore is None or host.cluster_id not in datastore.cluster_ids:
            continue
        lookup = datastore_lookup(datastore)
        if _has_space(datastore, host, needed) and automatic(lookup) and asked(lookup):
            found.append((-by_rank(lookup), oid, datastore))
    return min(found, key=lambda one: one[:2])[2] if found else None


def _choose_networks(reader: Reader, places: Places, vm: Vm, host: Host, step: Step) -> dict[int, Vector]:
    """A network of the host's cluster for every NIC that waits for one, by NIC_ID."""
    chosen: dict[int, Vector] = {}
    caller = _caller(reader, places, vm, step)
    for nic in vm_auto_nics.waiting(vm):
        taken = [one.get_int("NETWORK_ID", -1) for one in chosen.values()]
        network = None if caller is None else _best_network(reader, caller, nic, host, taken)
        if network is None:
            wanted = nic.get("SCHED_REQUIREMENTS")
            raise Unplaceable(f"No virtual network meets capacity and SCHED_REQUIREMENTS: {wanted}".rstrip(": "))
        chosen[nic.get_int("NIC_ID", -1)] = vm_auto_nics.choice(network)
    return chosen


def _best_network(reader: Reader, caller: Caller, nic: Vector, host: Host, taken: list[int]) -> Vnet | None:
    """`taken`: the networks that other NICs of the VM will have an address of."""
    asked = requirement(nic.get("SCHED_REQUIREMENTS"))
    by_rank = rank(nic.get("SCHED_RANK") or DEFAULT_NETWORK_RANK)
    found: list[tuple[float, int, Vnet]] = []
    for oid in reader.find(VNETS.table, "cluster", host.cluster_id):
        network = reader.get(VNETS.table, oid)
        if network is None or network.state not in LEASING:
            continue
        if not _has_address(reader, network, nic, taken.count(network.oid)):
            continue
        lookup = network_lookup(reader, network)
        if asked(lookup) and allowed(reader, caller, Right.USE, VNETS, network):
            found.append((-by_rank(lookup), network.oid, network))
    return min(found, key=lambda one: one[:2])[2] if found else None


def _has_address(reader: Reader, network: Vnet, nic: Vector, taken: int) -> bool:
    """Whether the address that the NIC asks for is free, or any, besides those `taken` in a moment."""
    asked = [(key, nic.get(key)) for key in leases.ADDRESS_KEYS if nic.get(key)]
    if not asked:
        return sum(one.size for one in network.ranges) - lease.used(reader, network.oid) > taken
    if len(asked) > 1 or taken:
        return False
    for one in network.ranges:
        index = one.index_of(*asked[0])
        if index is not None and lease.holder_of(reader, network.oid, one.ar_id, index) is None:
            return True
    return False


def _has_space(datastore: Datastore, host: Host, needed_mb: int) -> bool:
    """A datastore that nobody has looked at yet is given the benefit of the doubt."""
    if not datastore.is_shared:
        return host.disk.maximum == 0 or host.disk.free >= needed_mb
    return datastore.total_mb == 0 or datastore.free_mb >= needed_mb


def system_disk_mb(template: Template) -> int:
    """What the VM's disks take in its system datastore: volatile ones and copies of images made there."""
    return sum(
        disk.get_int("SIZE", 0)
        for disk in template.vectors("DISK")
        if not disk.get("IMAGE_ID") or (disk.get("CLONE") == "YES" and disk.get("CLONE_TARGET") == "SYSTEM")
    )


# ---------------------------------------------------------------------- what expressions see
def host_lookup(reader: Reader, host: Host) -> Lookup:
    """A host's attributes: its own, its share, its template's and its cluster's."""
    free_cpu = max_cpu(reader, host) - host.cpu_usage
    free_mem = max_mem(reader, host) - host.mem_usage
    own = {
        "ID": str(host.oid),
        "NAME": host.name,
        "STATE": str(int(host.state)),
        "CLUSTER_ID": str(host.cluster_id),
        "CLUSTER": cluster_name(reader, host.cluster_id),
        "IM_MAD": host.im_mad,
        "VM_MAD": host.vm_mad,
        "RUNNING_VMS": str(len(host.vm_ids)),
        "CPU_USAGE": str(host.cpu_usage),
        "MEM_USAGE": str(host.mem_usage),
        "TOTAL_CPU": str(host.total_cpu),
        "TOTAL_MEM": str(host.total_mem),
        "MAX_CPU": str(max_cpu(reader, host)),
        "MAX_MEM": str(max_mem(reader, host)),
        "FREE_CPU": str(free_cpu),
        "FREE_MEM": str(free_mem),
        "FREE_MEMORY": str(free_mem),
        "USED_CPU": str(host.cpu_usage),
        "USED_MEMORY": str(host.mem_usage),
        "FREE_DISK": str(host.disk.free),
    }
    cluster = reader.get(CLUSTERS.table, host.cluster_id)

    def lookup(name: str) -> tuple[str, ...]:
        name = name.rpartition("/")[2].upper()
        if name in own:
            return (own[name],)
        return host.template.singles(name) or (() if cluster is None else cluster.template.singles(name))

    return lookup


def datastore_lookup(datastore: Datastore) -> Lookup:
    own: dict[str, tuple[str, ...]] = {
        "ID": (str(datastore.oid),),
        "NAME": (datastore.name,),
        "TM_MAD": (datastore.tm_mad,),
        "DS_MAD": (datastore.ds_mad,),
        "FREE_MB": (str(datastore.free_mb),),
        "USED_MB": (str(datastore.used_mb),),
        "TOTAL_MB": (str(datastore.total_mb),),
        "CLUSTERS/ID": tuple(str(oid) for oid in datastore.cluster_ids),
    }

    def lookup(name: str) -> tuple[str, ...]:
        return own.get(name.upper()) or datastore.template.singles(name.upper())

    return lookup


def network_lookup(reader: Reader, network: Vnet) -> Lookup:
    own: dict[str, tuple[str, ...]] = {
        "ID": (str(network.oid),),
        "NAME": (network.name,),
        "BRIDGE": (network.bridge,),
        "VN_MAD": (network.vn_mad,),
        "USED_LEASES": (str(lease.used(reader, network.oid)),),
        "CLUSTERS/ID": tuple(str(oid) for oid in network.cluster_ids),
    }

    def lookup(name: str) -> tuple[str, ...]:
        return own.get(name.upper()) or network.template.singles(name.upper())

    return lookup


TIMER = Timer(
    "scheduler", INTERVAL_S, run, wakes_on=(VMS.table.name, HOSTS.table.name, DATASTORES.table.name), pause_s=0.2
)
