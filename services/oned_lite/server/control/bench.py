"""What a test may do to a running daemon."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from services.oned_lite.drivers.scripted import Script
from services.oned_lite.node.node import LEADING
from services.oned_lite.server.clock import Clock
from services.oned_lite.server.engine import Engine

from .calls import CallLog
from .faults import Faults

DEADLINE_S = 5.0


class Refused(Exception):
    """Why this server cannot do that now."""


@dataclass(frozen=True, slots=True)
class Bench:
    """`datastores` is the folder of all datastores, emptied along with the database where this server owns it."""

    engine: Engine
    clock: Clock
    script: Script
    faults: Faults
    calls: CallLog
    datastores: Path
    owns_datastores: bool

    def status(self) -> dict[str, object]:
        status = self.engine.status()
        report: dict[str, object] = {"ahead_s": self.clock.ahead_s}
        if status is not None:
            report |= {
                "role": status.role,
                "serving": status.serving,
                "server_id": status.server_id,
                "leader_id": status.leader_id,
                "term": status.term,
                "applied": status.applied_index,
            }
        return report

    async def reset(self, *, files: bool | None = None) -> dict[str, object]:
        """Back to the objects of a fresh database. One log entry: the other servers of a cluster follow. Where another
        server leads, only what is this server's own is put back. `files`: remove those of images and VMs too (None: where
        the folder is this server's own). Raises Refused."""
        self.script.clear()
        self.faults.clear()
        self.clock.put_right()
        status = self.engine.status()
        leads = status is not None and status.role in LEADING
        if leads:
            index = await self.engine.ask(lambda node, now: node.reset(now))
            if index is None or not await self.engine.until(lambda one: one.applied_index >= index, DEADLINE_S):
                raise Refused("this server does not lead any more, or its entry is not committed: try again")
            if self.owns_datastores if files is None else files:
                await asyncio.to_thread(_empty, self.datastores)
        self.calls.clear()
        return {"database": leads, "applied": self._applied()}

    def _applied(self) -> int:
        status = self.engine.status()
        return 0 if status is None else status.applied_index

    def advance(self, seconds: int) -> None:
        """Puts the clock forward; whatever is due by then happens at once."""
        self.clock.advance(seconds)
        self.engine.post(lambda node, now: node.hurry(now))

    async def step_down(self) -> dict[str, object]:
        """Raises Refused."""
        status = self.engine.status()
        if status is None or status.role not in LEADING:
            leader = None if status is None else status.leader_id
            raise Refused(f"this server does not lead; the leader is {leader}")
        if status.role == "solo":
            raise Refused("this server is alone: there is nobody to lead in its place")
        self.engine.post(lambda node, now: node.hand_over(now))
        if not await self.engine.until(lambda one: one.role not in LEADING, DEADLINE_S):
            raise Refused("no other server is ready to lead")
        return self.status()


def _empty(datastores: Path) -> None:
    """The folders of the datastores stay, as they do in a fresh installation."""
    for entry in datastores.glob("*/*"):
        with suppress(OSError):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
