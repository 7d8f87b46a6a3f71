"""What servers say to each other. The sender is known from the link a message came over and is not repeated in it.

Every message carries its sender's term (a pre-vote request carries the term it would campaign for).
"""

import msgspec

from .types import Entry, SnapshotMeta


class _Message(msgspec.Struct, frozen=True, array_like=True):
    term: int


class PreVoteRequest(_Message, frozen=True, array_like=True, tag=1):
    """Would you vote for me in `term`? Changes nothing at the receiver (thesis section 9.6)."""

    last_index: int
    last_term: int
    configuration_index: int


class PreVoteResponse(_Message, frozen=True, array_like=True, tag=2):
    """`term` is the one asked for if granted, else the voter's own.

    `removed` tells the asker that a configuration newer than its own is committed and does not contain it.
    """

    granted: bool
    removed: bool = False


class VoteRequest(_Message, frozen=True, array_like=True, tag=3):
    """RequestVote. `transfer` marks an election the leader asked for, which voters need not be protected from."""

    last_index: int
    last_term: int
    transfer: bool = False


class VoteResponse(_Message, frozen=True, array_like=True, tag=4):
    granted: bool


class AppendEntries(_Message, frozen=True, array_like=True, tag=5):
    """Entries to follow `prev_index`; none at all asks whether the logs agree up to there."""

    prev_index: int
    prev_term: int
    commit: int
    entries: tuple[Entry, ...] = ()


class AppendAccepted(_Message, frozen=True, array_like=True, tag=6):
    """The follower's durable log equals the leader's up to `index`. `emptied`: see `HardState`."""

    index: int
    emptied: bool = False


class AppendRejected(_Message, frozen=True, array_like=True, tag=7):
    """The follower has no entry of that term at `prev_index`.

    The logs can agree at most up to `hint_index`, where the follower's entry has `hint_term`; `last_index` is its log's
    end. One such answer skips a whole term (Raft paper, section 5.3).
    """

    prev_index: int
    hint_index: int
    hint_term: int
    last_index: int
    emptied: bool = False


class Heartbeat(_Message, frozen=True, array_like=True, tag=8):
    """The leader is there. `round` comes back in the answer and orders answers against reads (thesis section 6.4)."""

    commit: int
    round: int


class HeartbeatResponse(_Message, frozen=True, array_like=True, tag=9):
    """Also says again what answers to appends said, should they have been lost.

    `verified_index`: up to where this leader's appends were checked; `accepted_index`: how much of that is durable.
    `state_hash` is that at `applied_index` (None if the server has not computed it since it started).
    """

    round: int
    verified_index: int
    accepted_index: int
    applied_index: int
    state_hash: int | None
    emptied: bool = False


class InstallSnapshot(_Message, frozen=True, array_like=True, tag=10):
    """Bytes `offset`..`offset + len(data)` of a snapshot of `total` bytes."""

    meta: SnapshotMeta
    offset: int
    total: int
    data: bytes


class SnapshotResponse(_Message, frozen=True, array_like=True, tag=11):
    """`received` bytes of the snapshot at `index` are here, the next chunk must start there."""

    index: int
    received: int
    emptied: bool = False


class TimeoutNow(_Message, frozen=True, array_like=True, tag=12):
    """Campaign at once: the leader hands over (thesis section 3.10)."""


class StaleTerm(_Message, frozen=True, array_like=True, tag=13):
    """Answer to a leader whose term is over."""


class Diverged(_Message, frozen=True, array_like=True, tag=14):
    """The receiver's state at `index` differs from the leader's, whose hash is `state_hash`."""

    index: int
    state_hash: int


class CommitNotice(_Message, frozen=True, array_like=True, tag=15):
    """More is committed; saves an idle follower the wait for the next heartbeat. Not answered."""

    commit: int


class Welcome(_Message, frozen=True, array_like=True, tag=16):
    """To a server that had lost its disk: in the configuration at `index`, which is committed, it only learns. Whatever it
    has forgotten nobody relies on any more."""

    index: int


LeaderMessage = AppendEntries | Heartbeat | CommitNotice | InstallSnapshot | TimeoutNow | Diverged | Welcome

Message = (
    PreVoteRequest
    | PreVoteResponse
    | VoteRequest
    | VoteResponse
    | AppendEntries
    | AppendAccepted
    | AppendRejected
    | Heartbeat
    | HeartbeatResponse
    | InstallSnapshot
    | SnapshotResponse
    | TimeoutNow
    | StaleTerm
    | Diverged
    | CommitNotice
    | Welcome
)

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def encode(message: Message) -> bytes:
    return _encoder.encode(message)


def decode(data: bytes) -> Message:
    """The message in `data`; raises `msgspec.DecodeError` (or its child `ValidationError`) if there is none."""
    return _decoder.decode(data)
