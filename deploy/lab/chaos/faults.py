"""Faults. Each chooses its target when it is injected and can be healed, exactly once, afterwards.

A new fault is a class with `inject` and `heal`, and a line in `FAULTS`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from itertools import permutations, product
from typing import TYPE_CHECKING, Protocol

from deploy.lab.chaos.network import Way

if TYPE_CHECKING:
    from deploy.lab.chaos.cluster import Cluster

LEADER_SHARE = 0.6
"""How often a fault of one server takes the leader, which hurts most."""
SLOW_LINK_S = 0.3
JUMPS_S = (-86_400, -3600, -30, 30, 3600, 86_400)
DRIFTS = (-0.9, -0.5, 0.5, 3.0, 20.0)
"""Seconds that a clock gains in a second; none goes backwards."""
DRIFT_STEP_S = 0.1


class Fault(Protocol):
    """What goes wrong."""

    async def inject(self) -> str:
        """Says what it does to whom."""
        ...

    async def heal(self) -> str:
        """Says what else had to be done, beside taking the fault away."""
        ...


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

    async def heal(self) -> str:
        await self.cluster.start_again(self.name)
        return ""


class Pause(_OneServer):
    """SIGSTOP of a daemon: a machine that hangs."""

    async def inject(self) -> str:
        self.cluster.pause(await self.choose_process("oned"))
        return self.name

    async def heal(self) -> str:
        self.cluster.resume(self.name)
        return ""


class KillDatabase(_OneServer):
    """kill -9 of a MariaDB server under its running daemon."""

    async def inject(self) -> str:
        self.cluster.kill(await self.choose_process("mariadb"))
        return self.name

    async def heal(self) -> str:
        await self.cluster.start_again(self.name)
        return ""


class StallDatabase(_OneServer):
    """SIGSTOP of a MariaDB server: a disk that takes nothing any more."""

    async def inject(self) -> str:
        self.cluster.pause(await self.choose_process("mariadb"))
        return self.name

    async def heal(self) -> str:
        self.cluster.resume(self.name)
        return ""


class _Links(_OneServer):
    """Something about links, all of which heal together."""

    async def heal(self) -> str:
        await self.cluster.network.mend()
        return ""

    def others(self, server: int) -> list[int]:
        return [other for other in self.cluster.servers if other != server]


class Partition(_Links):
    """Two halves that do not hear each other; the leader is more often in the smaller one."""

    async def inject(self) -> str:
        first = await self.choose()
        others = self.others(first)
        self.rng.shuffle(others)
        minority = {first, *others[: self.rng.randint(0, (len(others) - 1) // 2)]}
        majority = set(self.cluster.servers) - minority
        await self.cluster.network.cut([*product(minority, majority), *product(majority, minority)])
        return f"{_names(minority)} | {_names(majority)}"


class OneWay(_Links):
    """A server that is not heard by the others, or does not hear them."""

    async def inject(self) -> str:
        server, mute = await self.choose(), self.rng.random() < 0.5
        await self.cluster.network.cut([(server, other) if mute else (other, server) for other in self.others(server)])
        return f"oned{server + 1} {'is not heard' if mute else 'does not hear'}"


class SlowLinks(_Links):
    """Everything to and from a server arrives late."""

    async def inject(self) -> str:
        server = await self.choose()
        ways: list[Way] = [way for way in permutations(self.cluster.servers, 2) if server in way]
        await self.cluster.network.delay(ways, SLOW_LINK_S)
        return f"oned{server + 1} by {SLOW_LINK_S} s"


class _Clock(_OneServer):
    """A wall clock that is wrong; heals by being put right at once, which is a jump as well."""

    def __init__(self, cluster: Cluster, rng: random.Random) -> None:
        super().__init__(cluster, rng)
        self.server = 0

    def put(self, ahead_s: float) -> None:
        assert self.cluster.clocks is not None, "the means have clocks where this fault is chosen"
        self.cluster.clocks.put(self.server, ahead_s)

    async def heal(self) -> str:
        self.put(0.0)
        return ""


class ClockJump(_Clock):
    """A server's clock is put wrong, by up to a day."""

    async def inject(self) -> str:
        self.server, jump_s = await self.choose(), self.rng.choice(JUMPS_S)
        self.put(jump_s)
        return f"oned{self.server + 1} by {jump_s:+d} s"


class ClockDrift(_Clock):
    """A server's clock goes too fast or too slow."""

    def __init__(self, cluster: Cluster, rng: random.Random) -> None:
        super().__init__(cluster, rng)
        self._drifting: asyncio.Task[None] | None = None

    async def inject(self) -> str:
        self.server, drift = await self.choose(), self.rng.choice(DRIFTS)
        self._drifting = asyncio.create_task(self._drift(drift))
        return f"oned{self.server + 1}, {drift:+} s in a second"

    async def heal(self) -> str:
        if self._drifting is not None:
            self._drifting.cancel()
            await asyncio.gather(self._drifting, return_exceptions=True)
        return await super().heal()

    async def _drift(self, drift: float) -> None:
        now = asyncio.get_running_loop().time
        began = now()
        while True:
            await asyncio.sleep(DRIFT_STEP_S)
            self.put((now() - began) * drift)


class _Disk(_OneServer):
    """Something about a server's disk. A server that ended for it is started again, which is told."""

    def __init__(self, cluster: Cluster, rng: random.Random) -> None:
        super().__init__(cluster, rng)
        self.server = 0

    async def start_again(self) -> str:
        ended = self.cluster.ended(self.server)
        for name in ended:
            await self.cluster.start_again(name)
        return f"{' and '.join(ended)} had ended" if ended else ""


class FullDisk(_Disk):
    """Not a byte more fits on a server's disk."""

    async def inject(self) -> str:
        self.server = await self.choose()
        await self.cluster.disks.fill(self.server)
        return f"oned{self.server + 1}"

    async def heal(self) -> str:
        await self.cluster.disks.free(self.server)
        return await self.start_again()


class StalledDisk(_Disk):
    """What writes to a server's disk waits."""

    async def inject(self) -> str:
        self.server = await self.choose()
        await self.cluster.disks.freeze(self.server)
        return f"oned{self.server + 1}"

    async def heal(self) -> str:
        await self.cluster.disks.thaw(self.server)
        return await self.start_again()


class KillAll(_OneServer):
    """A power cut: all daemons at once."""

    async def inject(self) -> str:
        for server in self.cluster.servers:
            self.cluster.kill(f"oned{server + 1}")
        return _names(set(self.cluster.servers))

    async def heal(self) -> str:
        await asyncio.gather(*(self.cluster.start_again(f"oned{server + 1}") for server in self.cluster.servers))
        return ""


def _names(servers: set[int]) -> str:
    return " ".join(f"oned{server + 1}" for server in sorted(servers))


FAULTS: dict[str, Callable[[Cluster, random.Random], Fault]] = {
    "kill": Kill,
    "pause": Pause,
    "partition": Partition,
    "one-way": OneWay,
    "slow-link": SlowLinks,
    "power-cut": KillAll,
    "clock-jump": ClockJump,
    "clock-drift": ClockDrift,
    "disk-full": FullDisk,
    "disk-stall": StalledDisk,
    "kill-db": KillDatabase,
    "stall-db": StallDatabase,
}
