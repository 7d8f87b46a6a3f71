"""Limits on the rate of requests: leaky buckets (nginx ``limit_req``).

A bucket holds what came faster than the rate allows, in thousandths of a request, and leaks at the rate. Within ``burst`` a
request is let in, and waits until the bucket would have leaked so far; over it, it is refused and not counted. All numbers
are whole and cut off as nginx cuts them off.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import nlargest
from operator import itemgetter
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta

from services.balancer.core.places import SALT_BYTES, digest
from services.balancer.core.roster import Count

REFUSED = -1
ONE = 1000  # request
UNDELAYED = 1 << 62

Level = tuple[Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)], Count, Count]
"""Digest of zone and key, what the bucket held after its last request, and when that was."""


class Levels(msgspec.Struct, frozen=True, kw_only=True):
    """Buckets as one program leaves them to another; what they are for is known by digests with this salt."""

    salt: Annotated[bytes, Meta(min_length=SALT_BYTES, max_length=SALT_BYTES)]
    levels: list[Level]


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

    def known(self, most: int) -> Levels:
        """The buckets that were asked for last, ``most`` of them at most."""

    def recall(self, left: Levels, now_ms: int) -> None:
        """Begin with buckets of another time, none of which was later than now."""


class OwnBuckets:
    """Those of one process. In a zone that is full, the bucket that was asked for longest ago makes room.

    Of buckets that were left by others only digests are known, until they are asked for. The salt has SALT_BYTES.
    """

    __slots__ = ("_left", "_salt", "_zones")

    def __init__(self, salt: bytes) -> None:
        self._salt = salt
        self._zones: dict[str, OrderedDict[bytes, tuple[int, int]]] = {}  # level and time of the last request
        self._left: dict[int, tuple[int, int]] = {}

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def level(self, rate: Rate, key: bytes, now_ms: int) -> int:
        zone = self._zones.get(rate.zone)
        bucket = zone.get(key) if zone is not None else None
        if zone is not None and bucket is not None:
            zone.move_to_end(key)
        elif self._left:
            bucket = self._left.get(digest((rate.zone, key), self._salt))
        return risen(rate, *bucket, now_ms) if bucket is not None else 0

    def pour(self, rate: Rate, key: bytes, now_ms: int) -> int:
        level = self.level(rate, key, now_ms)
        zone = self._zones.setdefault(rate.zone, OrderedDict())
        if self._left and key not in zone:
            self._left.pop(digest((rate.zone, key), self._salt), None)
        zone[key] = (level, now_ms)
        zone.move_to_end(key)
        while len(zone) > rate.keys:
            zone.popitem(last=False)
        return level

    def known(self, most: int) -> Levels:
        own = [(at_ms, level, zone, key) for zone, all_ in self._zones.items() for key, (level, at_ms) in all_.items()]
        named = [(digest((zone, key), self._salt), level, at_ms) for at_ms, level, zone, key in nlargest(most, own)]
        left = [(name, level, at_ms) for name, (level, at_ms) in self._left.items()]
        return Levels(salt=self._salt, levels=latest([*named, *left], most))

    def recall(self, left: Levels, now_ms: int) -> None:
        self._salt = left.salt
        self._left = {name: (level, min(at_ms, now_ms)) for name, level, at_ms in left.levels}


def latest(levels: Iterable[Level], most: int) -> list[Level]:
    """Those that were asked for last."""
    return nlargest(most, levels, itemgetter(2))


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
