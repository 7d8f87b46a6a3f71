"""Moments as people read them in ERROR attributes and messages."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(epoch_s: int) -> datetime:
    """The moment in UTC: every server of a zone says the same, whatever its clock is set to show."""
    return datetime.fromtimestamp(epoch_s, UTC)


def stamp(epoch_s: int) -> str:
    """`Sun Nov 22 15:52:03 2026`."""
    return moment(epoch_s).ctime()
