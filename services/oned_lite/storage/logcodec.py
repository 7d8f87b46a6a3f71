"""The log, term and vote, and this server's own numbers, as they rest in the database.

`logdb.sqlcmd` is one byte, the entry's kind (0 nothing, 1 change set, 2 membership), with 0x80 added where the rest is
compressed (zlib); then the entry's data. It is kept short of work: one of these is written for every call.
"""

from __future__ import annotations

import re
import zlib

import msgspec

from services.oned_lite.raft.types import Entry, EntryKind, HardState, SnapshotMeta

from .port import StorageError

COMPRESSED = 0x80
COMPRESS_FROM_BYTES = 4096
"""Smaller entries cost less to write than to compress."""

RAFT_STATE = "RAFT_STATE"
_RAFT_STATE = re.compile(
    r"<TEMPLATE><TERM><!\[CDATA\[(\d+)]]></TERM><VOTEDFOR><!\[CDATA\[(-?\d+)]]></VOTEDFOR>(<EMPTIED/>)?</TEMPLATE>"
)
LogRow = tuple[int, int, bytes, int, int, int]
"""A row of logdb, in the order of its columns."""


def log_row(entry: Entry, now_s: int) -> LogRow:
    return entry.index, entry.term, _pack(entry), now_s, -1, 0


def _pack(entry: Entry) -> bytes:
    if len(entry.data) >= COMPRESS_FROM_BYTES:
        return bytes((entry.kind | COMPRESSED,)) + zlib.compress(entry.data, 1)
    return bytes((entry.kind,)) + entry.data


def entry(index: int, term: int, packed: bytes) -> Entry:
    """Raises StorageError where the bytes are not what `log_row` wrote."""
    try:
        kind = EntryKind(packed[0] & ~COMPRESSED)
        data = zlib.decompress(packed[1:]) if packed[0] & COMPRESSED else packed[1:]
    except (IndexError, ValueError, zlib.error) as error:
        raise StorageError(f"logdb: entry {index} is damaged ({error})") from error
    return Entry(index, term, kind, data)


def raft_state(hard_state: HardState) -> str:
    """Body of the RAFT_STATE row, exactly as OpenNebula writes it, but for what it does not know of."""
    vote = -1 if hard_state.vote is None else hard_state.vote
    own = "<EMPTIED/>" if hard_state.emptied else ""
    return (
        f"<TEMPLATE><TERM><![CDATA[{hard_state.term}]]></TERM><VOTEDFOR><![CDATA[{vote}]]></VOTEDFOR>{own}</TEMPLATE>"
    )


def hard_state(body: str) -> HardState:
    """Raises StorageError: a server that does not know whom it voted for must not start."""
    found = _RAFT_STATE.fullmatch(body)
    if found is None:
        raise StorageError(f"system_attributes: {RAFT_STATE} is damaged: {body[:200]!r}")
    term, vote = int(found[1]), int(found[2])
    return HardState(term, None if vote < 0 else vote, emptied=found[3] is not None)


def snapshot_text(meta: SnapshotMeta) -> str:
    return msgspec.json.encode(meta).decode()


def snapshot_meta(text: str) -> SnapshotMeta:
    try:
        return msgspec.json.decode(text, type=SnapshotMeta)
    except msgspec.DecodeError as error:
        raise StorageError(f"onelite_state: snapshot is damaged: {text[:200]!r}") from error


def last_index(snapshot: SnapshotMeta | None, entries: tuple[Entry, ...]) -> int:
    if entries:
        return entries[-1].index
    return 0 if snapshot is None else snapshot.index


def check_sequence(snapshot: SnapshotMeta | None, entries: tuple[Entry, ...], applied_index: int) -> None:
    """Raises StorageError where the log has a gap or the tables do not lie within it."""
    base = 0 if snapshot is None else snapshot.index
    for expected, found in enumerate(entries, base + 1):
        if found.index != expected:
            raise StorageError(f"logdb: entry {expected} is missing (found {found.index})")
    if not base <= applied_index <= base + len(entries):
        raise StorageError(
            f"the tables are as of entry {applied_index}, the log has {base + 1} to {base + len(entries)}:"
            " log and tables are not of one server"
        )
