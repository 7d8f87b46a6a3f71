"""Faults. Each chooses its target when it is injected and can be healed, exactly once, afterwards.

A new fault is a class with `inject` and `heal`, and a line in `FAULTS`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Protocol

from deploy.lab.chaos.cluster import Cluster

LEADER_SHARE = 0.6
"""How often a fault of one server takes the leader, which hurts most."""
SLOW_LINK_S = 0.3


class Fault(Protocol):
    """What goes wrong."""

    async def inject(self) -> str:
        """Says what it does to whom."""
        ...

    async def heal(self) -> None: ...


class _OneServer:
    """Chooses a server: the leader more often than chance would."""

    def __init__(self, cluster: Cluster, rng: random.Random) -> None:
        self.cluster = cluster
        self.rng = rng
        self.name = ""

    async def choose(self) -> int:
        leader = await self.cluster.leader()
        if leader is not None and self.rng.random() < LEADER_SHARE:
            return leader
        return self.rng.choice(self.cluster.servers)

    async def choose_process(self, service: str) -> str:
        self.name = f"{service}{await self.choose() + 1}"
        return self.name


class Kill(_OneServer):
    """kill -9 of a daemon; heals by starting it again."""

    async def inject(self) -> str:
        self.cluster.kill(await self.choose_process("oned"))
        return self.name

    async def heal(self) -> None:
        await self.cluster.start_again(self.name)


class Pause(_OneServer):
    """SIGSTOP of a daemon: a machine that hangs."""

    async def inject(self) -> str:
        self.cluster.pause(await self.choose_process("oned"))
        return self.name

    async def heal(self) -> None:
        self.cluster.resume(self.name)


class KillDatabase(_OneServer):
    """kill -9 of a MariaDB server under its running daemon."""

    async def inject(self) -> str:
        self.cluster.kill(await self.choose_process("mariadb"))
        return self.name

    async def heal(self) -> None:
        await self.cluster.start_again(self.name)


class StallDatabase(_OneServer):
    """SIGSTOP of a MariaDB server: a disk that takes nothing any more."""

    async def inject(self) -> str:
        self.cluster.pause(await self.choose_process("mariadb"))
        return self.name

    async def heal(self) -> None:
        self.cluster.resume(self.name)


class Partition(_OneServer):
    """Two halves that do not hear each other; the leader is more often in the smaller one."""

    async def inject(self) -> str:
        first = await self.choose()
        others = [server for server in self.cluster.servers if server != first]
        self.rng.shuffle(others)
        minority = {first, *others[: self.rng.randint(0, (len(others) - 1) // 2)]}
        for source in minority:
            for target in set(self.cluster.servers) - minority:
                self.cluster.network.cut(source, target)
                self.cluster.network.cut(target, source)
        return f"{_names(minority)} | {_names(set(self.cluster.servers) - minority)}"

    async def heal(self) -> None:
        self.cluster.network.mend()


class OneWay(_OneServer):
    """A server that is not heard by the others, or does not hear them."""

    async def inject(self) -> str:
        server, mute = await self.choose(), self.rng.random() < 0.5
        for other in set(self.cluster.servers) - {server}:
            self.cluster.network.cut(*((server, other) if mute else (other, server)))
        return f"oned{server + 1} {'is not heard' if mute else 'does not hear'}"

    async def heal(self) -> None:
        self.cluster.network.mend()


class SlowLinks(_OneServer):
    """Everything to and from a server arrives late."""

    async def inject(self) -> str:
        server = await self.choose()
        for other in set(self.cluster.servers) - {server}:
            self.cluster.network.delay(server, other, SLOW_LINK_S)
            self.cluster.network.delay(other, server, SLOW_LINK_S)
        return f"oned{server + 1} by {SLOW_LINK_S} s"

    async def heal(self) -> None:
        self.cluster.network.mend()


class KillAll(_OneServer):
    """A power cut: all daemons at once."""

    async def inject(self) -> str:
        for server in self.cluster.servers:
            self.cluster.kill(f"oned{server + 1}")
        return _names(set(self.cluster.servers))

    async def heal(self) -> None:
        await asyncio.gather(*(self.cluster.start_again(f"oned{server + 1}") for server in self.cluster.servers))


def _names(servers: set[int]) -> str:
    return " ".join(f"oned{server + 1}" for server in sorted(servers))


FAULTS: dict[str, Callable[[Cluster, random.Random], Fault]] = {
    "kill": Kill,
    "pause": Pause,
    "partition": Partition,
    "one-way": OneWay,
    "slow-link": SlowLinks,
    "power-cut": KillAll,
    "kill-db": KillDatabase,
    "stall-db": StallDatabase,
}
NEED_MARIADB = frozenset({"kill-db", "stall-db"})
