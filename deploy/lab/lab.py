"""One lab: its folder, its definition and its processes together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from deploy.lab import definition as definitions
from deploy.lab import parts, ports
from deploy.lab.definition import Definition, Wishes
from deploy.lab.errors import LabError
from deploy.lab.folders import LabFolder
from deploy.lab.processes import Condition
from deploy.lab.supervisor import Report, Supervisor


@dataclass(frozen=True, slots=True)
class Lab:
    folder: LabFolder
    definition: Definition
    supervisor: Supervisor

    def mark_prepared(self) -> None:
        """Writes down that what is done only once has been done."""
        definitions.write(self.folder.root, msgspec.structs.replace(self.definition, prepared=True))


def default_folder() -> Path:
    """`.lab` in the clone, or in the current folder where the package is installed without one."""
    clone = Path(__file__).resolve().parents[2]
    return (clone if (clone / "pyproject.toml").is_file() else Path.cwd()) / ".lab"


def make(root: Path, wishes: Wishes, report: Report) -> Lab:
    """The lab in a folder, made there if there is none. LabError if it cannot be had as wished."""
    folder = LabFolder(root.absolute())
    existing = definitions.read(folder.root)
    definition = definitions.settle(existing, wishes, own_addresses=ports.has_own_addresses(), folder=folder.root)
    folder.create()
    lab = _assemble(folder, definition, report)
    if definition != existing:
        _require_stopped(lab.supervisor)
        definitions.write(folder.root, definition)
    return lab


def find(root: Path, report: Report) -> Lab:
    """The lab that lives in a folder, running or not. LabError if none does."""
    folder = LabFolder(root.absolute())
    definition = definitions.read(folder.root)
    if definition is None:
        raise LabError(f"no lab lives in {folder.root}; make one with: onelite up --dir {folder.root}")
    folder.create()
    return _assemble(folder, definition, report)


def _require_stopped(supervisor: Supervisor) -> None:
    """What runs would go on as the lab was, and not as it is defined now."""
    running = [seen.process.name for seen in supervisor.look_at_all() if seen.condition is not Condition.ENDED]
    if running:
        raise LabError(f"{', '.join(running)} of this lab still run as it was; stop them first with: onelite down")


def _assemble(folder: LabFolder, definition: Definition, report: Report) -> Lab:
    topology = parts.build(definition, folder, folder.database_password.read_text().strip())
    return Lab(folder, definition, Supervisor(topology, folder, report))
