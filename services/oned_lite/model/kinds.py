"""All kinds of objects there are."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Any

from .objects import Kind


@cache
def kinds() -> dict[str, Kind[Any]]:
    """Every kind that a module of the model defines, by its table's name."""
    package = __name__.rpartition(".")[0]
    found = pkgutil.iter_modules(importlib.import_module(package).__path__)
    modules = [importlib.import_module(f"{package}.{one.name}") for one in found]
    return {one.table.name: one for module in modules for one in vars(module).values() if isinstance(one, Kind)}
