"""Plans that once showed a mistake, under the name of what was wrong. Each mistake has a small test of its own as well."""

from __future__ import annotations

from .plan import Plan

REGRESSIONS: dict[str, Plan] = {}
