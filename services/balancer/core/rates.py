"""Limits on the rate of requests: leaky buckets (nginx ``limit_req``).

A bucket holds what came faster than the rate allows, in thousandths of a request, and leaks at the rate. Within ``burst`` a
request is let in, and waits until the bucket would have leaked so far; over it, it is refused and not counted. All numbers
are whole and cut off as nginx cuts them off.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

REFUSED = -1
ONE = 1000  # request
UNDELAYED = 1 << 62


@dataclass(frozen=True, slots=True)
class Rate:
    """One limit. ``per_s`` and ``burst`` are in thousandths of a request; so is ``free``, which of the burst does not wait.

    ``keys`` is how many buckets the zone has at most.
    """

    zone: str
    per_s: int
    burst: int = 0
    free: int = 0
    keys: int = 8000


class Buckets(Protocol):
    """The buckets of all zones, of this process or of several together. Times in milliseconds of one clock.

    ``with`` them, nobody else looks or pours.
    """

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    def level(self, rate: Rate, key: bytes, now_ms: int) -> int:
        """What the bucket would hold with one more request."""

    def pour(self, rate: Rate, key: bytes, now_ms: int) -> int:
        """Count one more request; returns what the bucket holds."""


class OwnBuckets:
    """Those of one process. In a zone that is full, the bucket that was asked for longest ago makes room."""

    __slots__ = ("_zones",)

    def __init__(self) -> None:
        self._zones: dict[str, OrderedDict[bytes, tuple[int, int]]] = {}  # level and time of the last request

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def level(self, rate: Rate, key: bytes, now_ms: int) -> int:
        zone = self._zones.get(rate.zone)
        bucket = zone.get(key) if zone is not None else None
        if zone is None or bucket is None:
            return 0
        zone.move_to_end(key)
        return risen(rate, *bucket, now_ms)

    def pour(self, rate: Rate, key: bytes, now_ms: int) -> int:
        level = self.level(rate, key, now_ms)
        zone = self._zones.setdefault(rate.zone, OrderedDict())
        zone[key] = (level, now_ms)
        zone.move_to_end(key)
        while len(zone) > rate.keys:
            zone.popitem(last=False)
        return level


def risen(rate: Rate, before: int, at_ms: int, now_ms: int) -> int:
    """What a bucket that held ``before`` would hold with one more request; clocks of loops may be a little behind."""
    return max(0, before - rate.per_s * max(0, now_ms - at_ms) // 1000 + ONE)


def wait_ms(asked: Sequence[tuple[Rate, bytes]], buckets: Buckets, now_ms: int) -> int:
    """How long a request with these keys has to wait, or REFUSED; only a request that is let in is counted."""
    with buckets:
        for rate, key in asked:
            if buckets.level(rate, key, now_ms) > rate.burst:
                return REFUSED
        waits = [
            (level - rate.free) * 1000 // rate.per_s
            for rate, key in asked
            if (level := buckets.pour(rate, key, now_ms)) > rate.free
        ]
    return max(waits, default=0)
