"""Clients that write and read templates, each through a server of its own, and remember what they were told."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from deploy.lab.chaos.history import History, Kind, Operation, Outcome
from services.common.oned import OnedClient, OnedError, OnedFailure
from services.common.xmlrpc import FaultCode, Value

CLIENTS_PER_REGISTER = 3
REGISTER_OPERATIONS = 60
"""Then the clients go on with another template: judging a history takes the longer the longer it is."""
CALL_S = 5.0
PAUSE_S = (0.005, 0.05)
FAILURE_PAUSE_S = 0.1
ALLOCATES, WRITES = 0.1, 0.5
APPEND = 1
NOTHING = "none"


@dataclass
class Register:
    """A template whose attribute VALUE a few clients write and read."""

    oid: int
    used: int = 0


class Group:
    """Clients that share a register. Now and then they race for the same new name."""

    def __init__(self, number: int, endpoints: Sequence[str], session: str, history: History, seed: int) -> None:
        self._number = number
        self._session = session
        self._history = history
        self._rng = random.Random(seed * 1000 + number)
        self._servers = [OnedClient([endpoint], timeout_s=CALL_S, connect_timeout_s=1) for endpoint in endpoints]
        self._register: Register | None = None
        self._values = 0
        self._names = 0

    async def run(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as tasks:
            for place in range(CLIENTS_PER_REGISTER):
                tasks.create_task(self._client(self._number * CLIENTS_PER_REGISTER + place, stop))

    async def _client(self, client: int, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await asyncio.sleep(self._rng.uniform(*PAUSE_S))
            register, chance = self._register, self._rng.random()
            if register is None or register.used >= REGISTER_OPERATIONS or chance < ALLOCATES:
                await self._allocate(client)
                continue
            register.used += 1
            if chance < ALLOCATES + WRITES:
                await self._write(client, register)
            else:
                await self._read(client, register)

    async def _allocate(self, client: int) -> None:
        """The same name is tried until somebody is told that it is there, so that calls of the same name race."""
        name = f"g{self._number}n{self._names}"
        text = f"NAME = {name}\nVALUE = {NOTHING}"
        operation, answer = await self._call(client, "allocate", None, name, "", "one.template.allocate", text)
        if operation.outcome == "ok" or "already taken" in operation.error:
            self._names = max(self._names, int(name.partition("n")[2]) + 1)
        if operation.outcome == "ok" and isinstance(answer, int):
            register = self._register
            if register is None or register.used >= REGISTER_OPERATIONS:
                self._register = Register(answer)

    async def _write(self, client: int, register: Register) -> None:
        self._values += 1
        value = f"g{self._number}v{self._values}"
        arguments = (register.oid, f"VALUE = {value}", APPEND)
        await self._call(client, "write", register.oid, "", value, "one.template.update", *arguments)

    async def _read(self, client: int, register: Register) -> None:
        await self._call(client, "read", register.oid, "", "", "one.template.info", register.oid)

    async def _call(
        self, client: int, kind: Kind, oid: int | None, name: str, value: str, method: str, *arguments: str | int
    ) -> tuple[Operation, Value]:
        server = client % len(
            self._servers
        )  # one stays with its server, so that a server that hangs stops its own only
        start_us = self._history.clock.now_us()
        outcome, answer, error = await _outcome(self._servers[server], self._session, method, *arguments)
        if outcome == "ok" and kind == "read":
            value = _value(str(answer))
        operation = Operation(
            client=client,
            server=server,
            kind=kind,
            oid=answer if kind == "allocate" and isinstance(answer, int) else oid,
            name=name,
            value=value,
            start_us=start_us,
            end_us=self._history.clock.now_us(),
            outcome=outcome,
            error=error,
        )
        self._history.add(operation)
        if outcome != "ok":
            await asyncio.sleep(FAILURE_PAUSE_S)
        return operation, answer


async def _outcome(server: OnedClient, session: str, method: str, *arguments: str | int) -> tuple[Outcome, Value, str]:
    try:
        return "ok", await server.call(session, method, *arguments), ""
    except OnedFailure as failure:
        return "failed" if failure.definite and not _is_internal(failure) else "unknown", None, str(failure)


def _is_internal(failure: OnedFailure) -> bool:
    """A mistake of the daemon's, which says nothing certain about what it did before."""
    return isinstance(failure, OnedError) and failure.code == FaultCode.INTERNAL


def _value(text: str) -> str:
    found = re.search(r"<VALUE><!\[CDATA\[(\w+)", text)
    return found[1] if found else ""
