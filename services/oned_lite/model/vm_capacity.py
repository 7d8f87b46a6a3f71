"""CPU, memory and costs of a VM: reading them from a template, with oned's checks."""

from __future__ import annotations

from services.common.template import Template

COSTS = ("CPU_COST", "MEMORY_COST", "DISK_COST")
RESIZE_MODES = ("BALLOONING", "HOTPLUG")


def number_text(value: float) -> str:
    """The number as the daemon keeps it: 2, 1.5, 0.05."""
    return f"{value:.10g}"


def fault(template: Template) -> str | None:
    """What is wrong with a new VM's capacity; None where nothing is."""
    if template.get_int("MEMORY", 0) <= 0:
        return "MEMORY attribute must be a positive integer value."
    if template.get_float("CPU", 0.0) <= 0:
        return "CPU attribute must be a positive float or integer value."
    if template.has("VCPU") and template.get_int("VCPU", 0) <= 0:
        return "VCPU attribute must be a positive integer value."
    for name in COSTS:
        if template.has(name) and template.get_float(name, -1.0) < 0:
            return f"{name} attribute must be a positive float or integer value."
    mode = template.get("MEMORY_RESIZE_MODE").upper()
    if mode and mode not in RESIZE_MODES:
        return f"Unknown MEMORY_RESIZE_MODE: {mode}"
    return None


def normalized(template: Template) -> Template:
    """A faultless capacity as numbers."""
    changed = {
        "MEMORY": str(template.get_int("MEMORY", 0)),
        "CPU": number_text(template.get_float("CPU", 0.0)),
    }
    if template.has("VCPU"):
        changed["VCPU"] = str(template.get_int("VCPU", 0))
    for name in COSTS:
        if template.has(name):
            changed[name] = number_text(template.get_float(name, 0.0))
    if template.has("MEMORY_RESIZE_MODE"):
        changed["MEMORY_RESIZE_MODE"] = template.get("MEMORY_RESIZE_MODE").upper()
    for name, value in changed.items():
        template = template.with_set(name, value)
    return template
