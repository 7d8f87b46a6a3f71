"""Commands that run when this server begins or ceases to lead (oned's RAFT_LEADER_HOOK and RAFT_FOLLOWER_HOOK).

One at a time and in order; of roles that came and went while a command ran only the latest counts. Each gets the term as
its last argument and in RAFT_TERM: a fencing token by which a command, or what it talks to, can tell old orders from new.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import dataclass

from services.common import logs
from services.oned_lite.node.effects import RoleChanged

log = logs.get("hooks")
HOOK_S = 30.0
FAREWELL_S = 2.0
LEADER, FOLLOWER = "leader", "follower"


@dataclass(frozen=True, slots=True)
class Order:
    """`role`: leader or follower; candidates and removed servers are followers here."""

    role: str
    term: int


class RoleHooks:
    """`run` is the one task that starts commands."""

    def __init__(self, leader: tuple[str, ...], follower: tuple[str, ...]) -> None:
        self._commands = {LEADER: leader, FOLLOWER: follower}
        self._latest: Order | None = None
        self._done: Order | None = None
        self._news = asyncio.Event()

    def role_changed(self, change: RoleChanged) -> None:
        self._latest = Order(LEADER if change.role == LEADER else FOLLOWER, change.term)
        self._news.set()

    async def run(self, term: int) -> None:
        """Until cancelled. A server begins as a follower in `term`: what a crash left behind is taken back."""
        if self._latest is None:
            self._latest = Order(FOLLOWER, term)
            self._news.set()
        while True:
            await self._news.wait()
            self._news.clear()
            await self._obey(self._latest, HOOK_S)

    async def close(self) -> None:
        """After `run`: a server that stops does not lead."""
        if self._latest is not None:
            await self._obey(Order(FOLLOWER, self._latest.term), FAREWELL_S)

    async def _obey(self, order: Order, within_s: float) -> None:
        done, command = self._done, self._commands[order.role]
        if order == done or (done is not None and order.role == done.role == FOLLOWER):
            return
        if command:
            await _run((*command, str(order.term)), order, within_s)
        self._done = order  # not before: a command that is cut short by a stop has to run again


async def _run(command: tuple[str, ...], order: Order, within_s: float) -> None:
    """Its end is told in the log; one that takes too long, or is cancelled, is killed with all its children."""
    environment = {**os.environ, "RAFT_ROLE": order.role, "RAFT_TERM": str(order.term)}
    try:
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, stdin=asyncio.subprocess.DEVNULL, start_new_session=True
        )
    except OSError as error:
        log.error("a hook cannot be run", role=order.role, command=command[0], reason=error.strerror or str(error))
        return
    try:
        async with asyncio.timeout(within_s):
            code = await process.wait()
        (log.info if code == 0 else log.error)("hook", role=order.role, term=order.term, code=code)
    except TimeoutError:
        log.error("a hook does not come to an end, killing it", role=order.role, term=order.term)
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
