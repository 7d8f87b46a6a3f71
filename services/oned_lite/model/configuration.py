"""The daemon's configuration, in the shape and vocabulary of oned.conf."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.common.template import Template


@dataclass(frozen=True, slots=True)
class Configuration:
    """`template` holds the attributes of oned.conf (one.system.config shows them)."""

    template: Template
    _lists: dict[str, frozenset[str]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def restricted(self, attribute: str) -> frozenset[str]:
        """Names under e.g. VM_RESTRICTED_ATTR: `MAC`-like singles and `NIC/MAC`-like members of vectors."""
        found = self._lists.get(attribute)
        if found is None:
            found = frozenset(value.upper() for value in self.template.singles(attribute))
            self._lists[attribute] = found
        return found

    def inherited(self, attribute: str) -> tuple[str, ...]:
        """Names under e.g. INHERIT_IMAGE_ATTR: what a VM's disk or NIC takes over from an image, datastore or network."""
        return self.template.singles(attribute)
