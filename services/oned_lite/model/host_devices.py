"""What a host has besides CPU and memory to give: PCI devices, and NUMA nodes whose cores can be dedicated to a VM."""

from __future__ import annotations

import msgspec

from services.common.template import Vector

from .xml import text_element

FREE = -1


class PciDevice(msgspec.Struct, frozen=True, array_like=True):
    """`fields` as the monitor reported them; `vmid` the VM it is given to, -1 none."""

    fields: Vector
    vmid: int = FREE

    def to_xml(self) -> str:
        return self.fields.with_set("VMID", str(self.vmid)).to_xml("PCI")

    def matches(self, wanted: Vector) -> bool:
        """Is this free device of the address, or of the vendor, device and class asked for?"""
        keys = [key for key in ("SHORT_ADDRESS", "VENDOR", "DEVICE", "CLASS") if wanted.get(key)]
        return self.vmid == FREE and bool(keys) and all(self.fields.get(key) == wanted.get(key) for key in keys)


class Core(msgspec.Struct, frozen=True, array_like=True):
    """`cpus`: pairs of hardware thread and the VM pinned to it (-1 none)."""

    core_id: int
    cpus: tuple[tuple[int, int], ...]
    dedicated: bool = False

    @property
    def free(self) -> int:
        return 0 if self.dedicated else sum(vmid == FREE for _, vmid in self.cpus)

    def to_xml(self) -> str:
        cpus = ",".join(f"{cpu}:{vmid}" for cpu, vmid in self.cpus)
        return (
            f"<CORE>{text_element('CPUS', cpus)}{text_element('DEDICATED', 'YES' if self.dedicated else 'NO')}"
            f"{text_element('FREE', str(self.free))}{text_element('ID', str(self.core_id))}</CORE>"
        )

    def pinned(self, threads: int, vmid: int, dedicated: bool) -> tuple[Core, tuple[int, ...]]:
        """The core with `threads` of its free threads given to the VM, and which they are."""
        taken = tuple(cpu for cpu, owner in self.cpus if owner == FREE)[:threads]
        cpus = tuple((cpu, vmid if cpu in taken else owner) for cpu, owner in self.cpus)
        return Core(self.core_id, cpus, dedicated), taken

    def released(self, vmid: int) -> Core:
        if all(owner != vmid for _, owner in self.cpus):
            return self
        return Core(self.core_id, tuple((cpu, FREE if owner == vmid else owner) for cpu, owner in self.cpus))


class HugePages(msgspec.Struct, frozen=True, array_like=True):
    """`size` of one page in KB, how many `pages` there are, and how many are in use."""

    size: int
    pages: int
    usage: int = 0

    def to_xml(self) -> str:
        return (
            f"<HUGEPAGE>{text_element('PAGES', str(self.pages))}{text_element('SIZE', str(self.size))}"
            f"{text_element('USAGE', str(self.usage))}</HUGEPAGE>"
        )


class NumaNode(msgspec.Struct, frozen=True, array_like=True):
    """Memory in KB; `distance` lists the node ids from the nearest."""

    node_id: int
    cores: tuple[Core, ...]
    hugepages: tuple[HugePages, ...]
    distance: str
    total: int
    usage: int = 0

    def to_xml(self) -> str:
        cores = "".join(core.to_xml() for core in self.cores)
        pages = "".join(page.to_xml() for page in self.hugepages)
        return (
            f"<NODE>{cores}{pages}<MEMORY>{text_element('DISTANCE', self.distance)}"
            f"{text_element('TOTAL', str(self.total))}{text_element('USAGE', str(self.usage))}</MEMORY>"
            f"{text_element('NODE_ID', str(self.node_id))}</NODE>"
        )
