"""NUMA topology of a VM (TOPOLOGY, NUMA_NODE)."""

from __future__ import annotations

from services.common.template import Template, Vector

NONE = "NONE"
PINNED = ("CORE", "THREAD", "SHARED")


def fault(template: Template) -> str | None:
    """What is wrong with sockets, cores and threads."""
    topology = template.vector("TOPOLOGY")
    if topology is None:
        return None
    shape = [topology.get_int(key) for key in ("SOCKETS", "CORES", "THREADS")]
    if all(shape) and (shape[0] or 1) * (shape[1] or 1) * (shape[2] or 1) != template.get_int("VCPU", 1):
        return "Total threads per core and socket needs to match VCPU"
    return None


def completed(template: Template) -> Template:
    """The policy named, and, for a pinned VM, one NUMA_NODE with all of its CPUs and memory (KB) unless it says how to
    divide them."""
    topology = template.vector("TOPOLOGY")
    if topology is None:
        return template
    policy = topology.get("PIN_POLICY").upper() or NONE
    if policy not in PINNED:
        return template.with_set("TOPOLOGY", topology.with_set("PIN_POLICY", NONE))
    template = template.with_set("TOPOLOGY", topology.with_set("PIN_POLICY", policy))
    return template.with_set("NUMA_NODE", *_nodes(template))


def _nodes(template: Template) -> list[Vector]:
    given = template.vectors("NUMA_NODE")
    cpus, memory = template.get_int("VCPU", 1), template.get_int("MEMORY", 0)
    if not given:
        return [Vector.of(TOTAL_CPUS=str(cpus), MEMORY=str(memory * 1024))]
    share = len(given)
    return [
        Vector.of(
            TOTAL_CPUS=node.get("TOTAL_CPUS") or str(cpus // share),
            MEMORY=str(node.get_int("MEMORY", memory // share) * 1024),
        )
        for node in given
    ]
