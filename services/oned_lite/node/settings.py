"""What a node is told at its start."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.oned_lite.model.zone import ZoneServer
from services.oned_lite.raft.types import RaftConfig

SOLO_ID = -1


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """`raft.server_id` is this server's; `servers` the membership a fresh cluster begins with (empty: alone).

    `join`: this server is added to a zone that exists already; `servers` then are those it asks first, and itself.

    `hold_ms`: how long a request waits for a leader to be found while a majority is in reach. `forward_timeout_ms`: how
    long one sent to the leader waits for its answer, and one at the leader for a majority to write. `log_retention_*`: how
    much of the applied log is kept for servers that were away for a while; one that needs more gets a snapshot.
    `linearizable`: methods that read (one.vm.info) and are to be answered by the leader from the newest state instead of
    locally. `events`: whether this server publishes what happens while it leads. Credentials only count in an empty
    database; without a `serveradmin_password` a random one is made.
    """

    raft: RaftConfig
    servers: tuple[ZoneServer, ...] = ()
    join: bool = False
    scheduler: bool = True
    admin: str = "oneadmin"
    password: str = field(default="opennebula", repr=False)
    serveradmin_password: str = field(default="", repr=False)
    hold_ms: int = 3000
    forward_timeout_ms: int = 10_000
    requests_max: int = 4096
    linearizable: frozenset[str] = frozenset()
    events: bool = False
    log_retention_entries: int = 20_000
    log_retention_bytes: int = 64 << 20

    @property
    def solo(self) -> bool:
        return not self.servers

    @property
    def founders(self) -> tuple[int, ...]:
        """The voters a fresh cluster begins with; none where this server joins another one."""
        if self.join:
            return ()
        return tuple(server.server_id for server in self.servers) or (self.raft.server_id,)
