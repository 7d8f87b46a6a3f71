"""Memory that workers share: one anonymous file for each group with a ``zone``, mapped by every process."""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Iterable

COLUMNS = 64
"""Processes that may count connections at one time."""

_PEERS = 4096
_FACTS = 6
_WORD = 8
_STRIDE = (_FACTS + COLUMNS) * _WORD
_HEADER = _STRIDE
_SIZE = _HEADER + _PEERS * _STRIDE  # untouched pages cost nothing
_RECORD = struct.Struct(f"{_FACTS}q")


class ZoneMemory:
    """The records of one group's peers. ``column`` is this process' own.

    The lock is a POSIX record lock: the kernel gives it back when its holder dies. A record that its holder was about to
    write is then a little old, which the rules bear. The word at the beginning says how many columns are in use.
    """

    def __init__(self, fd: int, column: int) -> None:
        """Takes over the descriptor."""
        self._fd = fd
        self._memory = mmap.mmap(fd, _SIZE)
        self._words = memoryview(self._memory).cast("q")
        self._own = _FACTS + column
        self._reads = [struct.Struct(f"{_FACTS + columns}q").unpack_from for columns in range(COLUMNS + 1)]

    @classmethod
    def create(cls, name: str) -> ZoneMemory:
        """Fresh memory, seen from a process that counts no connections itself."""
        fd = os.memfd_create(f"balancer-zone-{name}"[:200])
        os.ftruncate(fd, _SIZE)
        return cls(fd, 0)

    @property
    def fd(self) -> int:
        return self._fd

    def lock(self) -> None:
        fcntl.lockf(self._fd, fcntl.LOCK_EX)

    def unlock(self) -> None:
        fcntl.lockf(self._fd, fcntl.LOCK_UN)

    def read(self, peer_id: int) -> tuple[int, ...]:
        return self._reads[self._words[0]](self._memory, _offset(peer_id))

    def write(
        self, peer_id: int, fails: int, accessed: int, checked: int, current: int, lost: int, ramp_ms: int
    ) -> None:
        _RECORD.pack_into(self._memory, _offset(peer_id), fails, accessed, checked, current, lost, ramp_ms)

    def fails(self, peer_id: int) -> int:
        return self._words[_offset(peer_id) // _WORD]

    def own_conns(self, peer_id: int) -> int:
        return self._words[_offset(peer_id) // _WORD + self._own]

    def count(self, peer_id: int, step: int) -> None:
        self._words[_offset(peer_id) // _WORD + self._own] += step

    # For the process that starts the others

    def grant(self, column: int, peer_ids: Iterable[int]) -> None:
        """Make a column ready for a new worker: nothing counted in it, and read by everybody."""
        self.strike_out(column, peer_ids)
        self._words[0] = max(self._words[0], column + 1)

    def strike_out(self, column: int, peer_ids: Iterable[int]) -> None:
        """Give back what a process counted that is gone."""
        for peer_id in peer_ids:
            self._words[_offset(peer_id) // _WORD + _FACTS + column] = 0

    def clear(self, peer_id: int) -> None:
        """Make the record of a peer's number that of a fresh peer."""
        at = _offset(peer_id)
        self._memory[at : at + _STRIDE] = bytes(_STRIDE)

    def close(self) -> None:
        self._words.release()
        self._memory.close()
        os.close(self._fd)


def _offset(peer_id: int) -> int:
    return _HEADER + peer_id % _PEERS * _STRIDE
