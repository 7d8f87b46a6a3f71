"""What a host has promised to VMs: CPU, memory, PCI devices and, to pinned VMs, cores of a NUMA node. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from msgspec.structs import replace

from services.common.template import Template, Vector
from services.oned_lite.model.host import Host, max_cpu, max_mem
from services.oned_lite.model.host_devices import FREE, Core, NumaNode, PciDevice
from services.oned_lite.model.vm import Vm
from services.oned_lite.state import Reader

_DEVICE_KEYS = (
    "ADDRESS",
    "BUS",
    "CLASS",
    "DEVICE",
    "DOMAIN",
    "FUNCTION",
    "NUMA_NODE",
    "SHORT_ADDRESS",
    "SLOT",
    "VENDOR",
)


@dataclass(frozen=True, slots=True)
class Capacity:
    """`cpu` in hundredths of a CPU, `memory` in KB."""

    cpu: int
    memory: int

    @staticmethod
    def of(template: Template) -> Capacity:
        return Capacity(round(template.get_float("CPU", 0.0) * 100), template.get_int("MEMORY", 0) * 1024)


def misfit(reader: Reader, host: Host, vm: Vm) -> str | None:
    """Why a VM does not fit in a host; None where it does."""
    return short_of(reader, host, Capacity.of(vm.template)) or device_misfit(host, vm)


def short_of(reader: Reader, host: Host, wanted: Capacity, given: Capacity | None = None) -> str | None:
    """What the host has too little of; `given` is what the VM has there already."""
    free_cpu = max_cpu(reader, host) - host.cpu_usage + (given.cpu if given else 0)
    free_mem = max_mem(reader, host) - host.mem_usage + (given.memory if given else 0)
    if wanted.cpu > free_cpu:
        return f"Not enough CPU: {wanted.cpu}/{free_cpu}"
    if wanted.memory > free_mem:
        return f"Not enough memory: {wanted.memory}/{free_mem}"
    return None


def device_misfit(host: Host, vm: Vm) -> str | None:
    """Devices and cores cannot be promised twice, capacity enforced or not."""
    if _assign_devices(host.pci, vm) is None:
        return "Unavailable PCI device."
    if is_pinned(vm.template) and _place_nodes(host.numa, vm) is None:
        return "Cannot allocate NUMA topology"
    return None


def add(host: Host, vm: Vm) -> tuple[Host, Template]:
    """The host with the VM on it, and the VM's template telling which devices and cores it was given."""
    wanted = Capacity.of(vm.template)
    devices = _assign_devices(host.pci, vm)
    template = vm.template
    if devices is not None:
        template = _with_devices(template, devices[1])
    nodes = _place_nodes(host.numa, vm) if is_pinned(template) else None
    if nodes is not None:
        template = template.with_set("NUMA_NODE", *nodes[1])
    host = replace(
        host,
        cpu_usage=host.cpu_usage + wanted.cpu,
        mem_usage=host.mem_usage + wanted.memory,
        pci=host.pci if devices is None else devices[0],
        numa=host.numa if nodes is None else nodes[0],
        vm_ids=tuple(sorted({*host.vm_ids, vm.oid})),
    )
    return host, template


def remove(host: Host, vm: Vm) -> Host:
    """The host without the VM."""
    wanted = Capacity.of(vm.template)
    memory = {node.get_int("NODE_ID", FREE): node.get_int("MEMORY", 0) for node in vm.template.vectors("NUMA_NODE")}
    return replace(
        host,
        cpu_usage=max(0, host.cpu_usage - wanted.cpu),
        mem_usage=max(0, host.mem_usage - wanted.memory),
        pci=tuple(PciDevice(one.fields) if one.vmid == vm.oid else one for one in host.pci),
        numa=tuple(_released(node, vm.oid, memory.get(node.node_id, 0)) for node in host.numa),
        vm_ids=tuple(oid for oid in host.vm_ids if oid != vm.oid),
    )


def resized(host: Host, before: Capacity, after: Capacity) -> Host:
    return replace(
        host,
        cpu_usage=max(0, host.cpu_usage + after.cpu - before.cpu),
        mem_usage=max(0, host.mem_usage + after.memory - before.memory),
    )


# ---------------------------------------------------------------------- PCI devices
def _assign_devices(pci: tuple[PciDevice, ...], vm: Vm) -> tuple[tuple[PciDevice, ...], list[PciDevice]] | None:
    """The host's devices after the VM took its own, and those in the order of its PCI attributes; None if one lacks."""
    taken: list[PciDevice] = []
    for wanted in vm.template.vectors("PCI"):
        asked = _asked_for(wanted)
        found = next((device for device in pci if device.matches(asked)), None)
        if found is None:
            return None
        given = PciDevice(found.fields, vm.oid)
        pci = tuple(given if device is found else device for device in pci)
        taken.append(given)
    return pci, taken


def _asked_for(wanted: Vector) -> Vector:
    """A PCI attribute that was once served names the very device it got: what counts is what was asked for."""
    return wanted.without("SHORT_ADDRESS") if wanted.get("ADDRESS") and wanted.get("DEVICE") else wanted


def _with_devices(template: Template, given: Iterable[PciDevice]) -> Template:
    vectors = []
    for wanted, device in zip(template.vectors("PCI"), given, strict=True):
        found = {key: device.fields.get(key) for key in _DEVICE_KEYS if device.fields.get(key)}
        vectors.append(wanted.merged(found))
    return template.with_set("PCI", *vectors) if vectors else template


# ---------------------------------------------------------------------- NUMA
def is_pinned(template: Template) -> bool:
    topology = template.vector("TOPOLOGY")
    return topology is not None and topology.get("PIN_POLICY", "NONE").upper() in ("CORE", "THREAD", "SHARED")


def _place_nodes(numa: tuple[NumaNode, ...], vm: Vm) -> tuple[tuple[NumaNode, ...], list[Vector]] | None:
    """The host's nodes after the VM was pinned, and the VM's NUMA_NODE attributes; None where it does not fit."""
    dedicated = (vm.template.vector("TOPOLOGY") or Vector()).get("PIN_POLICY").upper() == "CORE"
    placed: list[Vector] = []
    nodes = {node.node_id: node for node in numa}
    for wanted in vm.template.vectors("NUMA_NODE"):
        cpus, memory = wanted.get_int("TOTAL_CPUS", 0), wanted.get_int("MEMORY", 0)
        fitting = [node for node in nodes.values() if _fits(node, cpus, memory, dedicated)]
        if not fitting:
            return None
        chosen = max(fitting, key=lambda node: (sum(core.free for core in node.cores), node.node_id))
        pinned, taken = _pinned(chosen, cpus, memory, vm.oid, dedicated)
        nodes[pinned.node_id] = pinned
        mine = str(pinned.node_id)
        place = {"CPUS": ",".join(map(str, taken)), "NODE_ID": mine, "MEMORY_NODE_ID": mine}
        placed.append(wanted.merged(place))
    return tuple(nodes[node.node_id] for node in numa), placed


def _fits(node: NumaNode, cpus: int, memory: int, dedicated: bool) -> bool:
    free = sum((core.free == len(core.cpus)) if dedicated else core.free for core in node.cores)
    return free >= cpus and node.total - node.usage >= memory


def _pinned(node: NumaNode, cpus: int, memory: int, vmid: int, dedicated: bool) -> tuple[NumaNode, list[int]]:
    cores: list[Core] = []
    taken: list[int] = []
    for core in node.cores:
        usable = core.free == len(core.cpus) if dedicated else core.free > 0
        if len(taken) < cpus and usable:
            core, threads = core.pinned(1 if dedicated else cpus - len(taken), vmid, dedicated)
            taken.extend(threads)
        cores.append(core)
    return replace(node, cores=tuple(cores), usage=node.usage + memory), taken


def _released(node: NumaNode, vmid: int, memory: int) -> NumaNode:
    if all(owner != vmid for core in node.cores for _, owner in core.cpus):
        return node
    cores = tuple(core.released(vmid) for core in node.cores)
    return replace(node, cores=cores, usage=max(0, node.usage - memory))
