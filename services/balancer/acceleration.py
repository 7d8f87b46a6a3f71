"""The hot modules of the balancer as C extensions: the same sources, compiled by mypyc where somebody asked for it.

    deploy/compile                          installs what compiling needs, and compiles
    python -m services.balancer.mypyc_build     compiles with what is installed

A build lies in the virtual environment in a folder named after the digest of all sources of the balancer. So one of other
sources is never used: after an edit the modules are interpreted until they are compiled again. ``use`` puts a finder before
the ordinary ones, which hands out the extensions of the build that fits, if there is one.

What mypyc asks of the modules: every attribute is declared, and classes have no interpreted bases, which is why the
protocols of the data plane do not inherit from asyncio's. uvloop asks them for nothing but their methods.
"""

from __future__ import annotations

import hashlib
import os
import sys
import sysconfig
from collections.abc import Sequence
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

MODULES = (
    *(f"core/{name}" for name in ("addresses", "course", "groups", "paths", "peers", "places", "retry")),
    *(f"core/{name}" for name in ("routing", "selection", "shared")),
    *(f"wire/{name}" for name in ("body", "chunked", "fields", "outline", "request", "response")),
    *(f"plane/{name}" for name in ("client", "dialling", "downhead", "engine", "exchange", "facts", "pool")),
    *(f"plane/{name}" for name in ("prepared", "reactor", "secured", "timers", "transport", "upstream")),
    "compose",
)
"""What a request passes through, as file names in this package."""

HERE = Path(__file__).parent
BUILDS = Path(sys.prefix) / "lib" / "balancer-lite"
SUFFIX: str = sysconfig.get_config_var("EXT_SUFFIX")
SWITCH = "BALANCER_INTERPRETED"


class _Finder:
    """Finds the extension modules of one build (a meta path finder)."""

    def __init__(self, folder: Path) -> None:
        self._files = {str(file.relative_to(folder))[: -len(SUFFIX)]: file for file in folder.rglob(f"*{SUFFIX}")}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        file = self._files.get(name.replace(".", "/"))
        return spec_from_file_location(name, file, loader=ExtensionFileLoader(name, str(file))) if file else None


def use() -> None:
    """Have the hot modules imported from the build of these sources, if there is one and SWITCH is not set."""
    folder = None if os.environ.get(SWITCH) else fitting()
    if folder is not None:
        sys.meta_path.insert(0, _Finder(folder))


def in_use() -> bool:
    """Whether the hot modules run compiled in this process."""
    return any(isinstance(finder, _Finder) for finder in sys.meta_path)


def description() -> str:
    """What runs, in words for logs and ``--version``."""
    return "compiled" if in_use() else "interpreted"


def fitting(builds: Path = BUILDS, sources: Path = HERE) -> Path | None:
    """The build of the sources as they are now, if there is one."""
    if not builds.is_dir():
        return None
    folder = builds / digest(sources)
    return folder if folder.is_dir() else None


def digest(sources: Path = HERE) -> str:
    """A name for the sources as they are now and the kind of Python they run on.

    All sources of the balancer count, as compiled modules rely on the types of those they import.
    """
    hashed = hashlib.sha256(SUFFIX.encode())
    for path in sorted(sources.rglob("*.py")):
        hashed.update(b"%b\0%d\0" % (str(path.relative_to(sources)).encode(), path.stat().st_size))
        hashed.update(path.read_bytes())
    return hashed.hexdigest()[:32]
