"""The daemon's configuration, in the shape and vocabulary of oned.conf."""

from __future__ import annotations

from dataclasses import dataclass

from services.common.template import Template


@dataclass(frozen=True, slots=True)
class Configuration:
    """`template` holds the attributes of oned.conf (one.system.config shows them)."""

    template: Template

    def restricted(self, attribute: str) -> frozenset[str]:
        """Names under e.g. VM_RESTRICTED_ATTR: `MAC`-like singles and `NIC/MAC`-like members of vectors."""
        return frozenset(value.upper() for value in self.template.get_all(attribute) if isinstance(value, str))

    def inherited(self, attribute: str) -> tuple[str, ...]:
        """Names under e.g. INHERIT_IMAGE_ATTR: what a VM's disk or NIC takes over from an image, datastore or network."""
        return self.template.singles(attribute)
