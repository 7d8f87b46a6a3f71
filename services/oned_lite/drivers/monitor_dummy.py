"""The dummy monitor (im/dummy): a machine of eight CPUs and 16 GB that is always there."""

from __future__ import annotations

from services.common.template import Vector
from services.oned_lite.lifecycle.work import Work, WorkResult

TOTAL_CPU = 800
TOTAL_MEMORY_KB = 16_777_216
NODES = 2
CORES_PER_NODE = 8
THREADS_PER_CORE = 4
PAGES = 1024
PAGE_SIZES_KB = (2048, 1_048_576)

_MACHINE = """
HYPERVISOR = "dummy"
ARCH = "x86_64"
MODELNAME = "Dummy(R) Core @ 3.2GHz"
CPUSPEED = "3200"
DS_LOCATION_USED_MB = "9720"
DS_LOCATION_TOTAL_MB = "20480"
DS_LOCATION_FREE_MB = "20480"
NETRX = "50104108822222"
NETTX = "1241307203246698"
"""

_DEVICES = (
    ("02", "00", "0", "0300", "VGA compatible controller", "0863", "C79 [GeForce 9400M]", "1"),
    ("00", "06", "0", "0c03", "USB controller", "0aa7", "MCP79 OHCI USB 1.1 Controller", "1"),
    ("00", "06", "1", "0c03", "USB controller", "0aa9", "MCP79 EHCI USB 2.0 Controller", "0"),
)
"""Bus, slot, function, class, class name, device, device name, NUMA node."""


class DummyMonitor:
    """What it finds is told in template notation, as the probes of real hypervisors do."""

    async def run(self, work: Work) -> WorkResult:
        cpu = min(int(work.argument("CPU_USAGE", "0")), TOTAL_CPU)
        memory = min(int(work.argument("MEM_USAGE", "0")), TOTAL_MEMORY_KB)
        return WorkResult(key=work.key, ok=True, message=report(work.argument("HOST"), cpu, memory))


def report(hostname: str, used_cpu: int, used_memory_kb: int) -> str:
    """The machine, with as much in use as VMs were promised."""
    lines = [
        f'HOSTNAME = "{hostname}"',
        f'TOTALCPU = "{TOTAL_CPU}"',
        f'TOTALMEMORY = "{TOTAL_MEMORY_KB}"',
        f'USEDCPU = "{used_cpu}"',
        f'FREECPU = "{TOTAL_CPU - used_cpu}"',
        f'USEDMEMORY = "{used_memory_kb}"',
        f'FREEMEMORY = "{TOTAL_MEMORY_KB - used_memory_kb}"',
    ]
    lines += [_device(*device) for device in _DEVICES]
    for node in range(NODES):
        lines += _node(node, used_memory_kb // NODES)
    return _MACHINE + "\n".join(lines) + "\n"


def _device(
    bus: str, slot: str, function: str, klass: str, class_name: str, device: str, device_name: str, node: str
) -> str:
    fields = {
        "ADDRESS": f"0000:{bus}:{slot}:{function}",
        "BUS": bus,
        "CLASS": klass,
        "CLASS_NAME": class_name,
        "DEVICE": device,
        "DEVICE_NAME": device_name,
        "DOMAIN": "0000",
        "FUNCTION": function,
        "NUMA_NODE": node,
        "SHORT_ADDRESS": f"{bus}:{slot}.{function}",
        "SLOT": slot,
        "TYPE": f"10de:{device}:{klass}",
        "VENDOR": "10de",
        "VENDOR_NAME": "NVIDIA Corporation",
    }
    return _vector("PCI", fields)


def _node(node: int, used_kb: int) -> list[str]:
    total = TOTAL_MEMORY_KB // NODES
    lines = []
    for core in range(node * CORES_PER_NODE, (node + 1) * CORES_PER_NODE):
        cpus = ",".join(str(core + thread * NODES * CORES_PER_NODE) for thread in range(THREADS_PER_CORE))
        lines.append(_vector("CORE", {"NODE_ID": str(node), "ID": str(core), "CPUS": cpus}))
    for size in PAGE_SIZES_KB:
        page = {"NODE_ID": str(node), "SIZE": str(size), "PAGES": str(PAGES), "FREE": str(PAGES)}
        lines.append(_vector("HUGEPAGE", page))
    distance = " ".join(str(other) for other in sorted(range(NODES), key=lambda other: abs(other - node)))
    memory = {"NODE_ID": str(node), "TOTAL": str(total), "FREE": str(total - used_kb), "USED": str(used_kb)}
    return [*lines, _vector("MEMORY_NODE", {**memory, "DISTANCE": distance})]


def _vector(name: str, fields: dict[str, str]) -> str:
    return f"{name} = {Vector.of(fields).to_text()}"
