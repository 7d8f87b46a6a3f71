"""What the links between the servers can do, by whatever means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

from deploy.lab.topology import Process
from services.common.settings import Address

Way = tuple[int, int]
"""One direction of a link: (source, target), numbers of servers from 0."""
NetworkKind = Literal["namespaces", "relays"]


class Network(Protocol):
    """All links of a cluster. Clients and databases are not concerned by what happens to them."""

    async def open(self, peers: Sequence[Address]) -> None:
        """`peers[n]` is where server `n` listens for the others. LabError where that cannot be had."""
        ...

    def place(self, process: Process, server: int) -> Process:
        """The daemon of a server, started so that it reaches the others over these links only."""
        ...

    async def cut(self, ways: Iterable[Way]) -> None:
        """Nothing arrives any more, and nobody is told."""
        ...

    async def delay(self, ways: Iterable[Way], seconds: float) -> None:
        """Everything arrives that much later."""
        ...

    async def mend(self) -> None: ...

    @property
    def whole(self) -> bool: ...

    async def close(self) -> None: ...
