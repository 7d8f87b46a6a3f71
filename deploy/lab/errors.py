"""The one way in which a lab command fails."""

from __future__ import annotations


class LabError(Exception):
    """Something the user can act on: one line that says what is wrong and what to do."""
