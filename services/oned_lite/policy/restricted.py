"""Attributes that only administrators may set (VM_RESTRICTED_ATTR and its siblings of oned.conf)."""

from __future__ import annotations

from services.common.template import Template, Vector
from services.oned_lite.model.errors import internal


def first_restricted(template: Template, names: frozenset[str]) -> str | None:
    """The first attribute of the template on the list: `EMULATOR`, or the `MAC` of a listed `NIC/MAC`."""
    for name, value in template.attributes:
        if isinstance(value, Vector):
            for key, _ in value.pairs:
                if f"{name}/{key}" in names:
                    return key
        elif name in names:
            return name
    return None


def guard_update(old: Template, given: Template, merging: bool, names: frozenset[str]) -> Template:
    """What a plain user's update comes to: restricted singles stay as they were, and adding one is refused."""
    if merging:
        found = first_restricted(given, names)
        if found is not None:
            raise internal(f"Cannot update template. User Template includes a restricted attribute {found}")
        return given
    for name in sorted(names):
        if "/" in name:
            continue
        kept = old.get(name)
        asked = given.get(name)
        if asked and asked != kept:
            raise internal(f"Cannot update template. Tried to change restricted attribute: {name}")
        if kept is not None:
            given = given.with_set(name, kept)
    return given
