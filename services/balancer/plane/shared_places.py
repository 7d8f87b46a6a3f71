"""Places that all workers share: a table of counts in one anonymous file, mapped by every process.

A row is found by a digest of what is limited and its key; it is salted, so that nobody can choose keys that share a bucket.
It has one count for each process, which no other process writes, so those of a process that died can be given back. A row
whose counts are all zero is free. Rows are gathered in buckets; whoever takes a place locks the bucket, so that a limit is
never exceeded. Giving one back takes no lock.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Mapping

from services.balancer.core.places import SALT_BYTES, Place, digest
from services.balancer.plane.zone import COLUMNS, holder, lock_as_keeper
from services.common import logs

BUCKETS = 4096
WAYS = 16
_SALT_AT = 8
_DIGESTS_AT = _SALT_AT + SALT_BYTES
_DIGEST, _COUNT = 8, 4  # bytes
_NO_LIMIT = 1 << 31


class SharedPlaces:
    """``column`` is where this process counts. Takes over the descriptor, of memory for so many buckets of WAYS rows.

    When a bucket has no room, nobody with a key of it is let in, as nginx does when a zone is full.
    """

    def __init__(self, fd: int, column: int, buckets: int = BUCKETS) -> None:
        self.fd = fd
        self._buckets = buckets
        self._all = buckets * WAYS
        self._own = column * self._all
        self._memory = mmap.mmap(fd, _size(buckets))
        whole, counts_at = memoryview(self._memory), _DIGESTS_AT + self._all * _DIGEST
        self._columns = whole[:_SALT_AT].cast("q")  # how many are in use
        self._salt = bytes(whole[_SALT_AT:_DIGESTS_AT])
        self._digests = whole[_DIGESTS_AT:counts_at].cast("q")
        self._counts = whole[counts_at:].cast("I")
        self._rows: dict[Place, int] = {}  # of what this process has taken

    def take(self, place: Place, most: int) -> bool:
        row = self._rows.get(place, -1)
        name = 0 if row >= 0 else digest(place, self._salt)
        bucket = row // WAYS if row >= 0 else name % self._buckets
        self._lock(bucket)
        try:
            if row < 0:
                row = self._row(bucket * WAYS, name)
            if row < 0 or self._taken(row) >= most:
                return False
            self._counts[self._own + row] += 1
        finally:
            fcntl.lockf(self.fd, fcntl.LOCK_UN, 1, bucket)
        self._rows[place] = row
        return True

    def _lock(self, bucket: int) -> None:
        fcntl.lockf(self.fd, fcntl.LOCK_EX, 1, bucket)

    def give_back(self, place: Place) -> None:
        row = self._rows[place]
        self._counts[self._own + row] -= 1
        if not self._counts[self._own + row]:
            del self._rows[place]

    def _taken(self, row: int) -> int:
        return sum(self._counts[row : row + self._columns[0] * self._all : self._all].tolist())

    def _row(self, first: int, name: int) -> int:
        """The row of this digest, made if there is none yet; -1 when there is no room. To be called with the lock."""
        known = self._digests[first : first + WAYS].tolist()
        if name in known:
            return first + known.index(name)
        for row in range(first, first + WAYS):
            if not self._taken(row):
                self._digests[row] = name
                return row
        logs.get("limits").error("no room to count one more key of a limit, it is not let in")
        return -1


class KeptPlaces(SharedPlaces):
    """Of the process that starts the others. It counts itself, in column 0, what it serves alone before or after them."""

    @classmethod
    def create(cls, buckets: int = BUCKETS) -> KeptPlaces:
        """Fresh memory."""
        fd = os.memfd_create("balancer-places")
        os.ftruncate(fd, _size(buckets))
        os.pwrite(fd, os.urandom(SALT_BYTES), _SALT_AT)
        return cls(fd, 0, buckets)

    def _lock(self, bucket: int) -> None:
        lock_as_keeper(self.fd, 1, bucket)

    def take_over(self, taken: Mapping[Place, int]) -> None:
        """Count what this process has let in already, whatever the limits say."""
        for place, count in taken.items():
            for _ in range(count):
                self.take(place, _NO_LIMIT)

    def give_back(self, place: Place) -> None:
        if place in self._rows:  # there was no room for it when it was taken over, else
            super().give_back(place)

    def grant(self, column: int) -> None:
        """Make a column ready for a new worker: nothing counted in it, and read by everybody."""
        self.strike_out(column)
        self._columns[0] = max(self._columns[0], column + 1)

    def strike_out(self, column: int) -> None:
        """Give back what a process counted that is gone."""
        first = column * self._all
        self._counts[first : first + self._all] = memoryview(bytes(self._all * _COUNT)).cast("I")

    def holder(self) -> int:
        return holder(self.fd)

    def close(self) -> None:
        if not self._memory.closed:
            for view in (self._columns, self._digests, self._counts):
                view.release()
            self._memory.close()
            os.close(self.fd)


def _size(buckets: int) -> int:
    """In bytes; pages that nobody touches cost nothing, and of the usual number of buckets a column has 256 KB."""
    return _DIGESTS_AT + buckets * WAYS * (_DIGEST + COLUMNS * _COUNT)
