"""Memory that workers share: one anonymous file for each group with a ``zone``, mapped by every process."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import mmap
import os
import struct
import time
import weakref
from collections.abc import Callable, Iterable

from services.balancer.core.shared import FACTS

COLUMNS = 64
"""Processes that may count connections at one time."""

KEEPER_WAIT_S = 0.2

_PEERS = 4096
_WORD = 8
_STRIDE = FACTS + COLUMNS
_FLOCK = "hhqqi"  # fcntl(2), struct flock
_SIZE = (1 + _PEERS * _STRIDE) * _WORD  # untouched pages cost nothing


class ZoneMemory:
    """The records of one group's peers. ``column`` is this process' own.

    The lock is a POSIX record lock: the kernel gives it back when its holder dies. A record that its holder was about to
    write is then a little old, which the rules bear. The word at the beginning says how many columns are in use.
    """

    def __init__(self, fd: int, column: int) -> None:
        """Takes over the descriptor, which is closed when nobody uses this memory any more."""
        self.fd = fd
        self._let_go = weakref.finalize(self, os.close, fd)
        self.own = FACTS + column
        self._memory = mmap.mmap(fd, _SIZE)
        self.words = memoryview(self._memory).cast("q")

    def place(self, peer_id: int) -> int:
        return 1 + peer_id % _PEERS * _STRIDE

    @property
    def columns(self) -> int:
        return self.words[0]

    def reader(self, peer_ids: Iterable[int], columns: int) -> Callable[[], tuple[int, ...]]:
        places = [self.place(peer_id) for peer_id in peer_ids]
        width = FACTS + columns
        if places == sorted(places):
            ends = [1, *(place + width for place in places)]
            gaps = [place - end for place, end in zip(places, ends, strict=False)]
            form = "q" + "".join(f"{gap * _WORD}x{width}q" for gap in gaps)
            return functools.partial(struct.Struct(form).unpack_from, self._memory)
        # servers that were reordered by a reload: their records are not in their order
        words = self.words
        return lambda: (words[0], *(word for place in places for word in words[place : place + width].tolist()))

    def lock(self) -> None:
        fcntl.lockf(self.fd, fcntl.LOCK_EX)

    def unlock(self) -> None:
        fcntl.lockf(self.fd, fcntl.LOCK_UN)

    def clear(self, peer_id: int) -> None:
        place = self.place(peer_id)
        self.words[place : place + _STRIDE] = memoryview(bytes(_STRIDE * _WORD)).cast("q")

    def close(self) -> None:
        self.words.release()
        self._memory.close()
        self._let_go()


class KeptZone(ZoneMemory):
    """Of the process that starts the others, and counts no connections itself."""

    @classmethod
    def create(cls, name: str) -> KeptZone:
        """Fresh memory."""
        fd = os.memfd_create(f"balancer-zone-{name}"[:200])
        os.ftruncate(fd, _SIZE)
        return cls(fd, 0)

    def lock(self) -> None:
        lock_as_keeper(self.fd)

    def holder(self) -> int:
        return holder(self.fd)

    def grant(self, column: int, peer_ids: Iterable[int]) -> None:
        """Make a column ready for a new worker: nothing counted in it, and read by everybody."""
        self.strike_out(column, peer_ids)
        self.words[0] = max(self.words[0], column + 1)

    def strike_out(self, column: int, peer_ids: Iterable[int]) -> None:
        """Give back what a process counted that is gone."""
        for peer_id in peer_ids:
            self.words[self.place(peer_id) + FACTS + column] = 0


def lock_as_keeper(fd: int, size: int = 0, start: int = 0) -> None:
    """Wait a little only: a worker that was stopped while it had the lock must not stop who watches over it."""
    deadline = time.monotonic() + KEEPER_WAIT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(BlockingIOError):
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, size, start)
            return
        time.sleep(0.001)


def holder(fd: int) -> int:
    """The process that has a lock on a file, or on a part of it; 0 when nobody else has."""
    wanted = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(fd, fcntl.F_GETLK, wanted))
    return 0 if kind == fcntl.F_UNLCK else pid
