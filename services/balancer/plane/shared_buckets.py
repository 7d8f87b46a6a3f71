"""Buckets of rate limits that all workers share, in one anonymous file that every process maps.

A row is a digest of zone and key, the level of the bucket, and the time of its last request. Rows are gathered in sets;
where a set is full, the bucket that was asked for longest ago makes room. Nothing in it belongs to a process, so one that
dies leaves nothing to give back.
"""

from __future__ import annotations

import fcntl
import mmap
import os

from services.balancer.core.places import SALT_BYTES, digest
from services.balancer.core.rates import Level, Levels, Rate, latest, risen
from services.balancer.plane.zone import holder, lock_as_keeper

SETS = 4096
WAYS = 16
_ROW = 3  # words


class SharedBuckets:
    """``with`` it, no other process looks or pours. Takes over the descriptor, of memory for so many sets of WAYS rows."""

    def __init__(self, fd: int, sets: int = SETS) -> None:
        self.fd = fd
        self._sets = sets
        self._memory = mmap.mmap(fd, _size(sets))
        self._salt = self._memory[:SALT_BYTES]
        self._words = memoryview(self._memory)[SALT_BYTES:].cast("q")

    def __enter__(self) -> None:
        fcntl.lockf(self.fd, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        fcntl.lockf(self.fd, fcntl.LOCK_UN)

    def level(self, rate: Rate, key: bytes, now_ms: int) -> int:
        return self._level(rate, *self._row(digest((rate.zone, key), self._salt)), now_ms)

    def pour(self, rate: Rate, key: bytes, now_ms: int) -> int:
        name = digest((rate.zone, key), self._salt)
        at, found = self._row(name)
        level = self._level(rate, at, found, now_ms)
        self._put(at, (name, level, now_ms))
        return level

    def _level(self, rate: Rate, at: int, found: bool, now_ms: int) -> int:
        return risen(rate, self._words[at + 1], self._words[at + 2], now_ms) if found else 0

    def _row(self, wanted: int) -> tuple[int, bool]:
        """Where the row of a bucket with this digest is, or the one that makes room for it."""
        first = wanted % self._sets * WAYS * _ROW
        row = self._words[first : first + WAYS * _ROW].tolist()
        known, times = row[::_ROW], row[2::_ROW]
        if wanted in known:
            return first + known.index(wanted) * _ROW, True
        return first + times.index(min(times)) * _ROW, False

    def known(self, most: int) -> Levels:
        words = self._words.tolist()
        rows = zip(words[::_ROW], words[1::_ROW], words[2::_ROW], strict=True)
        return Levels(salt=self._salt, levels=latest((row for row in rows if row[0]), most))

    def recall(self, left: Levels, now_ms: int) -> None:
        """Before any other process maps this memory: names of buckets depend on the salt."""
        self._memory[:SALT_BYTES] = self._salt = left.salt
        for name, level, at_ms in reversed(latest(left.levels, len(left.levels))):
            self._put(self._row(name)[0], (name, level, min(at_ms, now_ms)))

    def _put(self, at: int, row: Level) -> None:
        self._words[at], self._words[at + 1], self._words[at + 2] = row

    def close(self) -> None:
        if not self._memory.closed:
            self._words.release()
            self._memory.close()
            os.close(self.fd)


class KeptBuckets(SharedBuckets):
    """Of the process that starts the others."""

    @classmethod
    def create(cls, sets: int = SETS) -> KeptBuckets:
        """Fresh memory."""
        fd = os.memfd_create("balancer-buckets")
        os.ftruncate(fd, _size(sets))
        os.pwrite(fd, os.urandom(SALT_BYTES), 0)
        return cls(fd, sets)

    def __enter__(self) -> None:
        lock_as_keeper(self.fd)

    def holder(self) -> int:
        return holder(self.fd)


def _size(sets: int) -> int:
    """In bytes; pages that nobody touches cost nothing."""
    return SALT_BYTES + sets * WAYS * _ROW * 8
