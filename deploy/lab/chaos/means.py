"""Which faults are possible here, by which means, and why the others are not."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from deploy.lab.chaos import clocks, disks, namespaces
from deploy.lab.chaos.faults import FAULTS
from deploy.lab.chaos.network import NetworkKind
from deploy.lab.definition import DatabaseKind
from deploy.lab.errors import LabError

CLOCK_FAULTS = frozenset({"clock-jump", "clock-drift"})
DISK_FAULTS = frozenset({"disk-full", "disk-stall"})
DATABASE_FAULTS = frozenset({"kill-db", "stall-db"})


class Means(msgspec.Struct, frozen=True, kw_only=True):
    """`faults`: those that will be injected; `left_out`: the others, each with the reason. `clocks`,
    `file_systems`: whether servers have their own."""

    network: NetworkKind
    clocks: bool
    file_systems: bool
    faults: Sequence[str]
    left_out: Mapping[str, str]


def choose(db: DatabaseKind, network: str, wanted: Sequence[str] | None) -> Means:
    """The means for the `wanted` faults, or (None) for all that are possible.

    LabError for a fault that there is not, and for one that is wanted and not possible.
    """
    for name in wanted or ():
        if name not in FAULTS:
            raise LabError(f"--faults: there is no {name!r}; there are {', '.join(FAULTS)}")
    kind = _network(network, wanted or ())
    asked = list(FAULTS) if wanted is None else list(wanted)
    no_file_systems = disks.why_not() if DISK_FAULTS.intersection(asked) else ""
    left_out = {name: reason for name in asked if (reason := obstacle(name, db, kind, no_file_systems))}
    if wanted is not None:
        for name, reason in left_out.items():
            raise LabError(f"--faults: {name} {reason}")
    faults = [name for name in asked if name not in left_out]
    return Means(
        network=kind,
        clocks=bool(CLOCK_FAULTS.intersection(faults)),
        file_systems=not no_file_systems and bool(DISK_FAULTS.intersection(faults)),
        faults=faults,
        left_out=left_out,
    )


def _network(choice: str, wanted: Sequence[str]) -> NetworkKind:
    if choice == "relays" or (choice == "auto" and "slow-link" in wanted):
        return "relays"
    obstacle = namespaces.why_not(secrets.token_hex(4))
    if obstacle and choice == "namespaces":
        raise LabError(f"--network namespaces: {obstacle}")
    return "relays" if obstacle else "namespaces"


def obstacle(name: str, db: DatabaseKind, network: NetworkKind, no_file_systems: str) -> str:
    """Why a fault is not possible; empty if it is."""
    if name in DATABASE_FAULTS and db != "mariadb":
        return "needs --db mariadb"
    if name == "slow-link" and network == "namespaces":
        return "needs --network relays"
    if name in CLOCK_FAULTS:
        with tempfile.TemporaryDirectory(prefix="onelite-clock-") as folder:
            return clocks.why_not(Path(folder))
    if no_file_systems and (name == "disk-stall" or (name == "disk-full" and db == "mariadb")):
        return f"needs a disk of its own for each server ({no_file_systems})"
    return ""
