"""What runs in a lab: as a table for people, and as the JSON that programs may rely on."""

from __future__ import annotations

import msgspec

from deploy.lab.lab import Lab
from deploy.lab.parts import endpoint
from deploy.lab.processes import Condition
from deploy.lab.supervisor import Sighting


class FrontendStatus(msgspec.Struct, frozen=True):
    """`oned` and `sunstone` are URLs; a pid is null while the process does not run."""

    name: str
    oned: str
    sunstone: str
    oned_pid: int | None
    sunstone_pid: int | None
    mariadb_pid: int | msgspec.UnsetType | None = msgspec.UNSET


class BalancerStatus(msgspec.Struct, frozen=True):
    url: str
    status: str
    pid: int | None


class CacheStatus(msgspec.Struct, frozen=True):
    address: str
    pid: int | None


class LabStatus(msgspec.Struct, frozen=True):
    """The contract of `onelite status --json`. `paused` names the processes that are frozen."""

    frontends: tuple[FrontendStatus, ...]
    balancer: BalancerStatus
    cache: CacheStatus
    datastores: str
    user: str
    password: str
    paused: tuple[str, ...]


def status(lab: Lab) -> LabStatus:
    """The lab as it is at this moment."""
    seen = {sighting.process.name: sighting for sighting in lab.supervisor.look_at_all()}
    addresses = lab.definition.addresses
    user, password = lab.folder.administrator()
    return LabStatus(
        frontends=tuple(
            FrontendStatus(
                name=f"frontend{number}",
                oned=endpoint(frontend),
                sunstone=f"http://{frontend.sunstone}",
                oned_pid=_pid(seen[f"oned{number}"]),
                sunstone_pid=_pid(seen[f"sunstone{number}"]),
                mariadb_pid=_pid(seen[f"mariadb{number}"]) if f"mariadb{number}" in seen else msgspec.UNSET,
            )
            for number, frontend in enumerate(addresses.frontends, start=1)
        ),
        balancer=BalancerStatus(
            f"http://{addresses.balancer}", f"http://{addresses.balancer_status}", _pid(seen["balancer"])
        ),
        cache=CacheStatus(str(addresses.cache), _pid(seen["cache"])),
        datastores=str(lab.folder.datastores),
        user=user,
        password=password,
        paused=tuple(name for name, sighting in seen.items() if sighting.condition is Condition.PAUSED),
    )


def as_json(status: LabStatus) -> str:
    return msgspec.json.format(msgspec.json.encode(status), indent=2).decode()


def process_table(lab: Lab) -> str:
    """One line per process: its name, how it is, its pid, and where it listens."""
    lines = [f"{'NAME':<11}{'STATE':<9}{'PID':>8}  LISTENS ON"]
    for sighting in lab.supervisor.look_at_all():
        process = sighting.process
        where = ", ".join(map(str, process.ports)) or f"socket {lab.folder.socket(process.name)}"
        pid = _pid(sighting)
        state = sighting.condition.value if pid is not None else "-"
        lines.append(f"{process.name:<11}{state:<9}{pid or '-':>8}  {where}")
    return "\n".join(lines)


def address_table(lab: Lab) -> str:
    """Where everything is, and who may log in."""
    now = status(lab)
    lines = [
        f"  web UI       {now.balancer.url}   (balancer; its status: {now.balancer.status})",
        f"  log in as    {now.user}, password {now.password}",
        "",
        *(f"  {each.name:<13}{each.sunstone}   XML-RPC {each.oned}" for each in now.frontends),
        f"  cache        {now.cache.address}   ({lab.definition.cache})",
        f"  database     {lab.definition.db}, one per frontend",
        f"  datastores   {now.datastores}",
    ]
    return "\n".join(lines)


def _pid(sighting: Sighting) -> int | None:
    return sighting.pid if sighting.condition is not Condition.ENDED else None
