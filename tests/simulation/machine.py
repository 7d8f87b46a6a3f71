"""One machine: its disk and clock survive crashes, its node does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from services.oned_lite.lifecycle.work import WorkKey
from services.oned_lite.model.zone import ZoneServer
from services.oned_lite.node.effects import Peers
from services.oned_lite.node.node import Node

from .clock import Clock
from .disk import Disk


@dataclass
class Machine:
    """`settings`: the servers it is told of at its start; `joins` where those are not the founders. `life` counts starts.
    `inbox` holds what happens to it while it is paused. `retired`: its operator has stopped it for good.
    `wiped`: it lost its disk and has not been taken back since."""

    number: int
    settings: tuple[ZoneServer, ...]
    joins: bool = False
    disk: Disk = field(default_factory=Disk)
    clock: Clock = field(default_factory=Clock)
    node: Node | None = None
    life: int = 0
    paused: bool = False
    stopping: bool = False
    tables_due: bool = False
    retired: bool = False
    wiped: bool = False
    inbox: list[Callable[[], None]] = field(default_factory=list)
    peers: Peers = field(default_factory=lambda: Peers(()))
    connected: set[int] = field(default_factory=set)
    works: set[WorkKey] = field(default_factory=set)

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong with it now; its links are another matter."""
        node = self.node
        if node is None or self.paused or self.stopping or self.wiped or self.disk.troubled:
            return False
        return not node.failed and self.clock.rate == 1.0
