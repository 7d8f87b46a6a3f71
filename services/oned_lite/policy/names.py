"""Names of objects: allowed characters, length, uniqueness."""

from __future__ import annotations

from typing import Any

from services.oned_lite.model.objects import Kind, named
from services.oned_lite.state import Reader

NAME_CHARS_MAX = 128
FORBIDDEN = "&|:\\\";/'#{}$<>"


def name_fault(name: str, forbidden: str = FORBIDDEN) -> str | None:
    """What is wrong with a name, as oned says it; None where nothing is."""
    if not name:
        return "Invalid NAME, it cannot be empty"
    for char in name:
        if char in forbidden:
            return f"Invalid NAME, char '{char}' is not allowed"
    if len(name) > NAME_CHARS_MAX:
        return f"Invalid NAME, max length is {NAME_CHARS_MAX} chars"
    return None


def taken_by(reader: Reader, kind: Kind[Any], name: str, uid: int) -> str | None:
    """The sentence for a name that another object of the same scope has."""
    other = named(reader, kind, name, uid)
    return None if other is None else f"NAME is already taken by {kind.noun or kind.type.name} {other}."
