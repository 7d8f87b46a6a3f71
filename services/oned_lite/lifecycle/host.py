"""Monitoring of hosts: every host that is not offline is looked at again and again."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from services.common.template import Template, TemplateError, parse
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.host import (
    HOST_MONITORING,
    HOSTS,
    MONITORING_RECORDS_MAX,
    Host,
    HostDisk,
    HostMonitoring,
    HostState,
)
from services.oned_lite.model.host_devices import Core, HugePages, NumaNode, PciDevice
from services.oned_lite.model.xml import element
from services.oned_lite.state import Reader

from .work import Duty, Step, Work, WorkKey, WorkResult

INTERVAL_S = 60.0
"""Between two looks at a host: seldom enough that a thousand hosts do not fill the log."""
MONITOR_TIMEOUT_S = 30.0
_TO_TEMPLATE = ("ARCH", "CPUSPEED", "HOSTNAME", "HYPERVISOR", "MODELNAME")


def _required(_reader: Reader, row: Host, _conf: Configuration) -> Sequence[Work]:
    arguments = (("HOST", row.name), ("CPU_USAGE", str(row.cpu_usage)), ("MEM_USAGE", str(row.mem_usage)))
    return (
        Work(
            key=WorkKey(HOSTS.table.name, row.oid, row.step, "monitor"),
            driver=f"im/{row.im_mad}",
            arguments=arguments,
            delay_s=INTERVAL_S if row.monitored_at else 0.0,
            timeout_s=MONITOR_TIMEOUT_S,
        ),
    )


def _finished(step: Step, work: Work, result: WorkResult) -> None:
    row = step.tx.get(HOSTS.table, work.key.oid)
    if row is None or row.step != work.key.step:
        return
    try:
        report = parse(result.message) if result.ok else None
    except TemplateError:
        report = None
    row = replace(row, step=row.step + 1, monitored_at=step.tx.now)
    if report is None:
        step.tx.put(HOSTS.table, _failed(row, result.message))
        return
    step.tx.put(HOSTS.table, _monitored(row, report))
    _record(step, row.oid, report)


def _failed(row: Host, message: str) -> Host:
    if row.state == HostState.DISABLED:
        return row
    return replace(
        row, state=HostState.ERROR, template=row.template.with_set("ERROR", f"Error monitoring Host: {message}")
    )


def _monitored(row: Host, report: Template) -> Host:
    template = row.template.without("ERROR")
    for name in _TO_TEMPLATE:
        value = report.get(name)
        template = template.with_set(name, value) if value else template
    return replace(
        row,
        state=row.state if row.state == HostState.DISABLED else HostState.MONITORED,
        template=template,
        total_cpu=report.get_int("TOTALCPU", 0),
        total_mem=report.get_int("TOTALMEMORY", 0),
        disk=HostDisk(
            report.get_int("DS_LOCATION_FREE_MB", 0),
            report.get_int("DS_LOCATION_TOTAL_MB", 0),
            report.get_int("DS_LOCATION_USED_MB", 0),
        ),
        pci=_devices(row, report),
        numa=_nodes(row, report),
    )


def _devices(row: Host, report: Template) -> tuple[PciDevice, ...]:
    """What is there now; a device that a VM has stays with it."""
    given = {device.fields.get("ADDRESS"): device.vmid for device in row.pci}
    return tuple(PciDevice(fields, given.get(fields.get("ADDRESS"), -1)) for fields in report.vectors("PCI"))


def _nodes(row: Host, report: Template) -> tuple[NumaNode, ...]:
    """The nodes as reported; what is pinned and used stays."""
    known = {node.node_id: node for node in row.numa}
    found = [node.get_int("NODE_ID", 0) for node in report.vectors("MEMORY_NODE")]
    return tuple(known.get(node_id) or _node(node_id, report) for node_id in found)


def _node(node_id: int, report: Template) -> NumaNode:
    mine = str(node_id)
    cores = tuple(
        Core(core.get_int("ID", 0), tuple((int(cpu), -1) for cpu in core.get("CPUS").split(",")))
        for core in report.vectors("CORE")
        if core.get("NODE_ID") == mine
    )
    pages = tuple(
        HugePages(page.get_int("SIZE", 0), page.get_int("PAGES", 0))
        for page in report.vectors("HUGEPAGE")
        if page.get("NODE_ID") == mine
    )
    memory = next(vector for vector in report.vectors("MEMORY_NODE") if vector.get("NODE_ID") == mine)
    return NumaNode(node_id, cores, pages, memory.get("DISTANCE"), memory.get_int("TOTAL", 0))


def _record(step: Step, oid: int, report: Template) -> None:
    before = step.tx.get(HOST_MONITORING, oid)
    records = (*(before.records if before else ()), (step.tx.now, _monitoring_xml(step.tx.now, oid, report)))
    step.tx.put(HOST_MONITORING, HostMonitoring(oid, records[-MONITORING_RECORDS_MAX:]))


def _monitoring_xml(at: int, oid: int, report: Template) -> str:
    capacity = (
        ("FREE_CPU", report.get("FREECPU")),
        ("FREE_MEMORY", report.get("FREEMEMORY")),
        ("USED_CPU", report.get("USEDCPU")),
        ("USED_MEMORY", report.get("USEDMEMORY")),
    )
    system = (("NETRX", report.get("NETRX")), ("NETTX", report.get("NETTX")))
    nodes = "".join(
        f"<NUMA_NODE>{_free_pages_xml(memory.get('NODE_ID'), report)}"
        f"<MEMORY>{element('FREE', memory.get('FREE'))}{element('USED', memory.get('USED'))}</MEMORY>"
        f"{element('NODE_ID', memory.get('NODE_ID'))}</NUMA_NODE>"
        for memory in report.vectors("MEMORY_NODE")
    )
    return (
        f"<MONITORING>{element('TIMESTAMP', at)}{element('ID', oid)}"
        f"<CAPACITY>{''.join(element(tag, value) for tag, value in capacity)}</CAPACITY>"
        f"<SYSTEM>{''.join(element(tag, value) for tag, value in system)}</SYSTEM>{nodes}</MONITORING>"
    )


def _free_pages_xml(node_id: str, report: Template) -> str:
    return "".join(
        f"<HUGEPAGE>{element('FREE', page.get('FREE'))}{element('SIZE', page.get('SIZE'))}</HUGEPAGE>"
        for page in report.vectors("HUGEPAGE")
        if page.get("NODE_ID") == node_id
    )


DUTY = Duty(HOSTS.table, _required, _finished)
