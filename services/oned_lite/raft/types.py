"""The values consensus is made of: entries, configurations, settings and the ways a request is refused."""

from collections.abc import Iterator
from enum import Enum, IntEnum

import msgspec

ENTRY_OVERHEAD_BYTES = 32  # what an entry costs on the wire and in memory beside its data


class EntryKind(IntEnum):
    """What an entry is for; only DATA means something to the state machine."""

    NOOP = 0
    DATA = 1
    CONFIGURATION = 2


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One line of the replicated log. `data` of a CONFIGURATION entry is `encode_configuration` of it."""

    index: int
    term: int
    kind: EntryKind
    data: bytes

    @property
    def size(self) -> int:
        """Bytes it is charged for in every limit."""
        return len(self.data) + ENTRY_OVERHEAD_BYTES


class HardState(msgspec.Struct, frozen=True, array_like=True):
    """What must be durable before any message that depends on it leaves (Raft paper, figure 2).

    `emptied`: this server came to the cluster with nothing on its disk, so it may have forgotten what it had promised. It
    neither votes nor counts until the others have agreed on a configuration in which it only learns.
    """

    term: int = 0
    vote: int | None = None
    emptied: bool = False


class Configuration(msgspec.Struct, frozen=True, array_like=True):
    """Who belongs to the cluster. Learners receive the log and count for nothing (thesis section 4.2.1)."""

    voters: tuple[int, ...] = ()
    learners: tuple[int, ...] = ()

    def __contains__(self, server: object) -> bool:
        return server in self.voters or server in self.learners

    def members(self) -> Iterator[int]:
        yield from self.voters
        yield from self.learners


class SnapshotMeta(msgspec.Struct, frozen=True, array_like=True):
    """The last entry a snapshot covers, and the configuration in force at it (Raft paper, section 7)."""

    index: int
    term: int
    configuration: Configuration


class Role(Enum):
    FOLLOWER = "follower"
    PRE_CANDIDATE = "pre-candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"


class RaftConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one server's consensus. Times are milliseconds, sizes bytes.

    `election_timeout_ms` is three things at once: how long a follower waits for its leader, how long it refuses to vote
    against one it has heard, and how long a leader stays one without hearing a majority. It must leave room for a few
    heartbeats, or one lost message costs a leader.
    """

    server_id: int
    election_timeout_ms: int = 1000
    heartbeat_ms: int = 100
    append_bytes_max: int = 1 << 20
    append_entries_max: int = 1024
    inflight_max: int = 64
    inflight_bytes_max: int = 8 << 20
    uncommitted_bytes_max: int = 64 << 20
    snapshot_chunk_bytes: int = 512 << 10
    snapshot_bytes_max: int = 2 << 30
    persist_stall_ms: int = 5000
    state_hashes_kept: int = 4096

    def __post_init__(self) -> None:
        if self.server_id < 0:
            raise ValueError(f"server_id: must not be negative, got {self.server_id}")
        for name in self.__struct_fields__[1:]:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: must be positive, got {getattr(self, name)}")
        if self.election_timeout_ms < 2 * self.heartbeat_ms:
            raise ValueError(
                f"election_timeout_ms: {self.election_timeout_ms} must be at least twice heartbeat_ms ({self.heartbeat_ms})"
            )


class AddLearner(msgspec.Struct, frozen=True):
    """Start replicating to a server that does not vote yet."""

    server: int


class Promote(msgspec.Struct, frozen=True):
    """Let a learner that has caught up vote."""

    server: int


class Demote(msgspec.Struct, frozen=True):
    """Let a voter learn again: it has lost its disk, and with it what it had promised."""

    server: int


class Remove(msgspec.Struct, frozen=True):
    """Take a voter or a learner out; the leader itself may be named."""

    server: int


MembershipChange = AddLearner | Promote | Demote | Remove


class NotLeader(Exception):
    """The request needs the leader. Nothing was done. `leader_hint` is the last one heard of, if any."""

    def __init__(self, leader_hint: int | None) -> None:
        super().__init__(f"not the leader (leader: {'unknown' if leader_hint is None else leader_hint})")
        self.leader_hint = leader_hint


class Busy(Exception):
    """The leader takes no proposals right now. Nothing was done; the same request may succeed later."""


class MembershipRefused(Exception):
    """A membership change that would be unsafe or means nothing. Nothing was done; the text says why."""


class BrokenInvariant(Exception):
    """Something that consensus proves impossible was seen. The server must stop: its state can no longer be trusted."""


def encode_configuration(configuration: Configuration) -> bytes:
    return msgspec.msgpack.encode(configuration)


def decode_configuration(data: bytes) -> Configuration:
    return msgspec.msgpack.decode(data, type=Configuration)
