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


def first_changed(given: Template, base: Template, names: frozenset[str]) -> str | None:
    """The first attribute on the list that `given` sets otherwise than `base` does. Of a listed `NIC/MAC` it is the `NIC`
    that gets named; a NIC whose MAC is that of one in `base` is fine."""
    for name, value in given.attributes:
        if isinstance(value, Vector):
            allowed = {pair for vector in base.vectors(name) for pair in vector.pairs}
            if any(f"{name}/{key}" in names and (key, text) not in allowed for key, text in value.pairs):
                return name
        elif name in names and value not in base.singles(name):
            return name
    return None


def guard_update(old: Template, given: Template, merging: bool, names: frozenset[str]) -> Template:
    """What a plain user's update comes to: restricted singles stay as they were, and adding one is refused."""
    if merging:
        found = first_changed(given, old, names)
        if found is not None:
            raise internal(f"Cannot update template. User Template includes a restricted attribute {found}")
        return given
    found = first_changed(given, old, names)
    if found is not None:
        raise internal(f"Cannot update template. Tried to change restricted attribute: {found}")
    for name in sorted(names):
        kept = old.text(name)
        if kept is not None:
            given = given.with_set(name, kept)
    return given
