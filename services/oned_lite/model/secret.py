"""Secrets that all servers of a zone share (table secrets)."""

from __future__ import annotations

import msgspec

from services.oned_lite.state import Table

ZONE_KEY = "ONE_KEY"
"""What encrypted attributes are encrypted with."""


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    value: str


SECRETS: Table[Secret] = Table("secrets", Secret, key=lambda row: row.name)
