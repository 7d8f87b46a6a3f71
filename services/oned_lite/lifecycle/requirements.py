"""What a VM's disks and networks demand of the place it runs in (AUTOMATIC_REQUIREMENTS and its siblings)."""

from __future__ import annotations

from collections.abc import Iterable

from services.common.template import Template, Vector

from .host_share import is_pinned

_NAMES = ("AUTOMATIC_REQUIREMENTS", "AUTOMATIC_DS_REQUIREMENTS", "AUTOMATIC_NIC_REQUIREMENTS")


def cluster_ids(template: Template) -> set[int] | None:
    """The clusters that all of the VM's disks and NICs are in; None where nothing binds it to any."""
    common: set[int] | None = None
    for vector in _bound(template):
        ids = {int(part) for part in vector.get("CLUSTER_ID").split(",") if part}
        common = ids if common is None else common & ids
    return common


def _bound(template: Template) -> Iterable[Vector]:
    for name in ("DISK", "NIC", "NIC_ALIAS", "PCI"):
        yield from (vector for vector in template.vectors(name) if vector.get("CLUSTER_ID"))


def fault(template: Template) -> str | None:
    """Why the VM could run nowhere; None where it can."""
    if cluster_ids(template) == set():
        return "Incompatible clusters in Virtual Machine: its disks and networks have no cluster in common"
    return None


def with_automatic(template: Template) -> Template:
    """The template with its automatic requirements as they now are."""
    clusters = sorted(cluster_ids(template) or ())
    pinned = "(PIN_POLICY = PINNED)" if is_pinned(template) else "!(PIN_POLICY = PINNED)"
    parts = ["!(PUBLIC_CLOUD = YES)", pinned]
    template = template.without(*_NAMES)
    if clusters:
        parts.insert(0, f"({' | '.join(f'CLUSTER_ID = {oid}' for oid in clusters)})")
        anywhere = "(" + " | ".join(f'"CLUSTERS/ID" @> {oid}' for oid in clusters) + ")"
        tm_mad = template.get("TM_MAD_SYSTEM")
        in_datastore = f'{anywhere} & (TM_MAD = "{tm_mad}")' if tm_mad else anywhere
        template = template.with_set("AUTOMATIC_DS_REQUIREMENTS", in_datastore)
        template = template.with_set("AUTOMATIC_NIC_REQUIREMENTS", anywhere)
    return template.with_set("AUTOMATIC_REQUIREMENTS", " & ".join(parts))
