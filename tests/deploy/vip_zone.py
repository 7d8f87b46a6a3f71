"""A zone of real daemons that move a virtual address; to be run in a network namespace of its own, by test_vip.

Every server has an interface of its own, as a machine of its own would: `frontend0`, `frontend1`, …
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.oned import ROOT, OnedZone, until

ADDRESS = "192.0.2.7/32"
HOOK = ROOT / "deploy" / "hooks" / "vip.sh"


def _hooks(folder: Path, number: int) -> dict[str, Any]:
    state = f"VIP_STATE={folder}/vip{number}"
    return {
        f"{role}_hook": ["env", state, str(HOOK), role, f"frontend{number}", ADDRESS] for role in ("leader", "follower")
    }


def _holders() -> list[int]:
    """The servers that have the address."""
    shown = subprocess.run(
        ["ip", "-oneline", "address", "show", "to", ADDRESS], capture_output=True, text=True, check=True
    )
    return [int(line.split()[1].removeprefix("frontend")) for line in shown.stdout.splitlines()]


def main(folder: Path) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for number in range(3):
        subprocess.run(["ip", "link", "add", f"frontend{number}", "type", "bridge"], check=True)
    zone = OnedZone(folder, raft=lambda number: _hooks(folder, number))
    try:
        zone.start()
        first = zone.servers.index(zone.leader())
        until(lambda: _holders() == [first])

        zone.servers[first].signal(signal.SIGSTOP)
        others = [server for server in zone.servers if server is not zone.servers[first]]
        leader = until(lambda: next((server for server in others if server.leads()), None))
        second = zone.servers.index(leader)
        until(lambda: second in _holders())
        zone.servers[first].signal(signal.SIGCONT)
        until(lambda: _holders() == [second])

        leader.stop()
        third = zone.servers.index(zone.leader())
        until(lambda: _holders() == [third])
        print(f"the address went from {first} to {second} to {third}")
    finally:
        zone.kill()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
