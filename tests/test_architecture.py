"""The tree keeps its shape: imports only point down, modules and functions stay readable, every module imports alone."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SERVICES = ROOT / "services"

BELOW = {
    "state": frozenset[str](),
    "raft": frozenset[str](),
    "model": frozenset({"state"}),
    "policy": frozenset({"model", "state"}),
    "lifecycle": frozenset({"model", "policy", "state"}),
    "api": frozenset({"lifecycle", "policy", "model", "state"}),
    "node": frozenset({"api", "lifecycle", "policy", "model", "state", "raft"}),
    "storage": frozenset({"node", "model", "state", "raft", "api"}),
    "drivers": frozenset({"lifecycle", "policy", "model", "state"}),
    "server": frozenset({"storage", "drivers", "node", "api", "lifecycle", "policy", "model", "state", "raft"}),
}
"""What each layer of oned_lite may import, beside itself and services.common."""

PURE = ("state", "raft", "model", "policy", "lifecycle", "api", "node")
IMPURE_MODULES = frozenset({"asyncio", "os", "secrets", "socket", "subprocess", "threading"})
IMPURE_NAMES = {
    "time": frozenset({"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "sleep", "localtime"}),
    "uuid": frozenset({"uuid1", "uuid4", "getnode"}),
    "random": frozenset({"random", "randint", "randrange", "choice", "shuffle", "seed", "SystemRandom"}),
}
"""Of these modules the rest is arithmetic on values given from outside."""

IMPORT_EACH_FIRST = """
import sys
package, *names = sys.argv[1:]
for name in names:
    __import__(name)
    for loaded in [module for module in sys.modules if f"{module}.".startswith(f"{package}.")]:
        del sys.modules[loaded]
"""
"""What lies below the package stays: it knows nothing of the package, so it makes no difference when it is imported."""

FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 600


def modules(folder: Path = SERVICES) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py"))


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """Full names of the modules a file imports, relative ones resolved."""
    package = dotted(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            yield ".".join([*base, *((node.module or "").split(".") if node.module else [])])


def impure_names(tree: ast.AST) -> Iterator[str]:
    """`time.time` and its like, however they were imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in IMPURE_NAMES.get(node.value.id, ()):
                yield f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names if alias.name in IMPURE_NAMES.get(node.module or "", ()))


def test_services_import_each_other_only_through_common() -> None:
    faults = []
    for path in modules():
        service = path.relative_to(SERVICES).parts[0]
        for name in imports(path):
            parts = name.split(".")
            if parts[0] in {"deploy", "tests"}:
                faults.append(f"{dotted(path)} imports {name}")
            if parts[0] == "services" and len(parts) > 1 and parts[1] not in {service, "common"}:
                faults.append(f"{dotted(path)} imports {name}")
    assert not faults, "\n".join(faults)


def test_layers_of_the_daemon_import_only_downwards() -> None:
    faults = []
    for layer, below in BELOW.items():
        for path in modules(SERVICES / "oned_lite" / layer):
            for name in imports(path):
                parts = name.split(".")
                if parts[:2] == ["services", "oned_lite"] and len(parts) > 2 and parts[2] not in below | {layer}:
                    faults.append(f"{dotted(path)} imports {name}")
    assert not faults, "\n".join(faults)


def test_consensus_and_state_import_nothing_of_ours() -> None:
    for layer in ("raft", "state"):
        for path in modules(SERVICES / "oned_lite" / layer):
            assert not [name for name in imports(path) if name.startswith("services.common")], dotted(path)


def test_pure_layers_touch_neither_clock_nor_chance_nor_the_outside() -> None:
    faults = []
    for layer in PURE:
        for path in modules(SERVICES / "oned_lite" / layer):
            tree = ast.parse(path.read_text())
            faults += [f"{dotted(path)} imports {name}" for name in imports(path) if name in IMPURE_MODULES]
            faults += [f"{dotted(path)} uses {name}" for name in impure_names(tree)]
            faults += [f"{dotted(path)}:{node.lineno} awaits" for node in ast.walk(tree) if isinstance(node, ast.Await)]
    assert not faults, "\n".join(faults)


def test_modules_and_functions_fit_a_reader() -> None:
    faults = []
    for path in modules() + modules(ROOT / "deploy"):
        text = path.read_text()
        if len(text.splitlines()) > MODULE_LINES_MAX:
            faults.append(f"{dotted(path)} has {len(text.splitlines())} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                length = node.end_lineno - node.lineno + 1
                if length > FUNCTION_LINES_MAX:
                    faults.append(f"{dotted(path)}.{node.name} has {length} lines")
    assert not faults, "\n".join(faults)


PACKAGES = [
    *("common", "sunstone_lite", "balancer", "cache"),
    *(f"oned_lite/{layer}" for layer in BELOW),
]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_can_be_imported_first(package: str) -> None:
    """No module needs another of its package to have been imported before it."""
    names = [dotted(path) for path in modules(SERVICES / package)]
    command = [sys.executable, "-c", IMPORT_EACH_FIRST, dotted(SERVICES / package / "__init__.py"), *names]
    # Each module is imported often, but compiled once. Extension modules cannot be imported twice.
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "", "BALANCER_INTERPRETED": "1"}
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    assert result.returncode == 0, result.stderr
