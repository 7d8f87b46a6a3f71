"""What all processes of a program share to count under limits: places, buckets, and who counts in which column."""

from __future__ import annotations

from services.balancer.plane.shared_buckets import KeptBuckets
from services.balancer.plane.shared_places import KeptPlaces
from services.balancer.plane.zone import COLUMNS


class SharedLimits:
    """Of the process that starts the others. It may count as well, in column 0."""

    def __init__(self) -> None:
        self.places = KeptPlaces.create()
        self.buckets = KeptBuckets.create()
        self._free = list(range(COLUMNS - 1, 0, -1))

    def column(self) -> int:
        """One for a new worker; raises OSError when too many are there, with those that are leaving."""
        if not self._free:
            raise OSError(f"no more than {COLUMNS - 1} workers can be there at one time")
        column = self._free.pop()
        self.places.grant(column)
        return column

    def give_back(self, column: int) -> None:
        """That of a worker that is gone, with what it had counted."""
        self.places.strike_out(column)
        self._free.append(column)

    def close(self) -> None:
        self.places.close()
        self.buckets.close()

    def holders(self) -> set[int]:
        """Processes that have a lock; 0 when nobody has."""
        return {self.places.holder(), self.buckets.holder()}
