"""Hosts: the machines that VMs run on, what they have and what is promised to VMs."""

from __future__ import annotations

from collections.abc import Hashable
from enum import IntEnum

import msgspec

from services.common.template import Template
from services.oned_lite.state import Reader, Table

from .cluster import CLUSTERS, MEMBERS
from .host_devices import NumaNode, PciDevice
from .objects import Kind, NameScope, ObjectType, PoolObject, kind_table
from .xml import element, id_list, template_element, text_element


class HostState(IntEnum):
    """STATE of a host; the numbers left out are never used."""

    INIT = 0
    MONITORED = 2
    ERROR = 3
    DISABLED = 4
    OFFLINE = 8


class HostDisk(msgspec.Struct, frozen=True, array_like=True):
    """The space for datastores, in MB."""

    free: int = 0
    maximum: int = 0
    used: int = 0


class Host(PoolObject, frozen=True, kw_only=True, omit_defaults=True):
    """`total_cpu` in hundredths of a CPU, `total_mem` in KB: what there is; `cpu_usage`, `mem_usage`: what VMs were
    promised. `step` changes with every monitoring, so that each is a piece of work of its own."""

    state: int = HostState.INIT
    im_mad: str
    vm_mad: str
    cluster_id: int = 0
    cpu_usage: int = 0
    mem_usage: int = 0
    total_cpu: int = 0
    total_mem: int = 0
    disk: HostDisk = HostDisk()
    disk_usage: int = 0
    pci: tuple[PciDevice, ...] = ()
    numa: tuple[NumaNode, ...] = ()
    vm_ids: tuple[int, ...] = ()
    step: int = 0
    monitored_at: int = 0


class HostMonitoring(msgspec.Struct, frozen=True):
    """The latest `<MONITORING>` elements of a host, the newest last (table host_monitoring)."""

    hid: int
    records: tuple[tuple[int, str], ...] = ()


HOST_MONITORING: Table[HostMonitoring] = Table("host_monitoring", HostMonitoring, key=lambda row: row.hid)
MONITORING_RECORDS_MAX = 20


def max_cpu(reader: Reader, row: Host) -> int:
    """CPU that VMs may be promised: the total less what host or cluster reserves."""
    return unreserved(row.total_cpu, _reserved(reader, row, "RESERVED_CPU"))


def max_mem(reader: Reader, row: Host) -> int:
    """Memory that VMs may be promised, in KB."""
    return unreserved(row.total_mem, _reserved(reader, row, "RESERVED_MEM"))


def _reserved(reader: Reader, row: Host, name: str) -> str:
    own = row.template.get(name)
    if own:
        return own
    cluster = reader.get(CLUSTERS.table, row.cluster_id)
    return "" if cluster is None else cluster.template.get(name)


def unreserved(total: int, reserved: str) -> int:
    """`reserved` is a number (a negative one promises more than there is) or a percentage of the total.

    >>> unreserved(800, "10%"), unreserved(800, "-100"), unreserved(800, "")
    (720, 900, 800)
    """
    try:
        if reserved.endswith("%"):
            return int(total * (100 - float(reserved[:-1])) / 100)
        return total - int(float(reserved or 0)) if total else 0
    except (ValueError, OverflowError):  # no number, or beyond all numbers
        return total


def cluster_name(reader: Reader, cluster_id: int) -> str:
    cluster = reader.get(CLUSTERS.table, cluster_id)
    return "" if cluster is None else cluster.name


def _share_xml(reader: Reader, row: Host) -> str:
    disk = (
        ("DISK_USAGE", row.disk_usage),
        ("FREE_DISK", row.disk.free),
        ("MAX_DISK", row.disk.maximum),
        ("USED_DISK", row.disk.used),
    )
    return (
        f"<HOST_SHARE><MEM_USAGE>{row.mem_usage}</MEM_USAGE><CPU_USAGE>{row.cpu_usage}</CPU_USAGE>"
        f"<TOTAL_MEM>{row.total_mem}</TOTAL_MEM><TOTAL_CPU>{row.total_cpu}</TOTAL_CPU>"
        f"<MAX_MEM>{max_mem(reader, row)}</MAX_MEM><MAX_CPU>{max_cpu(reader, row)}</MAX_CPU>"
        f"<RUNNING_VMS>{len(row.vm_ids)}</RUNNING_VMS><VMS_THREAD>{row.template.get('VMS_THREAD') or 1}</VMS_THREAD>"
        f"<DATASTORES>{''.join(text_element(tag, str(value)) for tag, value in disk)}</DATASTORES>"
        f"<PCI_DEVICES>{''.join(device.to_xml() for device in row.pci)}</PCI_DEVICES>"
        f"<NUMA_NODES>{''.join(node.to_xml() for node in row.numa)}</NUMA_NODES></HOST_SHARE>"
    )


def _xml(reader: Reader, row: Host, monitoring: str) -> str:
    return (
        f"<HOST>{element('ID', row.oid)}{element('NAME', row.name)}{element('STATE', int(row.state))}"
        f"{element('PREV_STATE', int(row.state))}{text_element('IM_MAD', row.im_mad)}"
        f"{text_element('VM_MAD', row.vm_mad)}{element('CLUSTER_ID', row.cluster_id)}"
        f"{element('CLUSTER', cluster_name(reader, row.cluster_id))}{_share_xml(reader, row)}"
        f"{id_list('VMS', row.vm_ids)}{template_element(row.template)}{monitoring}</HOST>"
    )


def render(reader: Reader, row: Host) -> str:
    """`<HOST>` as the pool shows it: without monitoring."""
    return _xml(reader, row, "<MONITORING/>")


def render_info(reader: Reader, row: Host) -> str:
    """`<HOST>` with the latest monitoring."""
    monitored = reader.get(HOST_MONITORING, row.oid)
    return _xml(reader, row, monitored.records[-1][1] if monitored and monitored.records else "<MONITORING/>")


def _by_cluster(row: Host) -> tuple[Hashable, ...]:
    return (row.cluster_id,)


def _needs_work(row: Host) -> tuple[Hashable, ...]:
    return () if row.state == HostState.OFFLINE else (True,)


HOSTS: Kind[Host] = Kind(
    type=ObjectType.HOST,
    title="host",
    table=kind_table("host_pool", Host, NameScope.POOL, cluster=_by_cluster, work=_needs_work),
    prefix="one.host",
    root="HOST",
    pool_root="HOST_POOL",
    name_scope=NameScope.POOL,
    encrypted="HOST_ENCRYPTED_ATTR",
    render=render,
    render_info=render_info,
    cluster_ids=lambda _reader, row: (row.cluster_id,),
)

MEMBERS["HOSTS"] = HOSTS.table

RESERVATIONS = Template.of(RESERVED_CPU="", RESERVED_MEM="")
"""A new host's template says that nothing is reserved."""
