"""Items in bounded memory: least recently used first out, expiry, compare-and-swap ids. Pure; time is an argument."""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum

import msgspec

RELATIVE_LIMIT_S = 60 * 60 * 24 * 30
"""Expiry times up to 30 days count from now; larger ones are Unix times."""

ITEM_OVERHEAD = 320
"""Bytes an item costs beside key and value: the objects around them, and its place in the table."""

_COUNTER_LIMIT = 2**64


class Outcome(Enum):
    """What became of a change; the value is the protocol's word."""

    STORED = b"STORED\r\n"
    NOT_STORED = b"NOT_STORED\r\n"
    EXISTS = b"EXISTS\r\n"
    NOT_FOUND = b"NOT_FOUND\r\n"
    DELETED = b"DELETED\r\n"
    TOUCHED = b"TOUCHED\r\n"
    NOT_NUMERIC = b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
    TOO_LARGE = b"SERVER_ERROR object too large for cache\r\n"


class Item(msgspec.Struct, frozen=True):
    """A value with the client's flags; `expires_at` is Unix time, None is never."""

    value: bytes
    flags: int
    expires_at: float | None
    cas_id: int


class Counters(msgspec.Struct):
    """Events since start or `stats reset`, under the names of memcached's `stats`."""

    cmd_get: int = 0
    cmd_set: int = 0
    cmd_flush: int = 0
    cmd_touch: int = 0
    get_hits: int = 0
    get_misses: int = 0
    get_expired: int = 0
    delete_hits: int = 0
    delete_misses: int = 0
    incr_hits: int = 0
    incr_misses: int = 0
    decr_hits: int = 0
    decr_misses: int = 0
    cas_hits: int = 0
    cas_misses: int = 0
    cas_badval: int = 0
    touch_hits: int = 0
    touch_misses: int = 0
    total_items: int = 0
    evictions: int = 0


class ItemStore:
    """Every method takes `now` (Unix seconds) and first lets a due delayed flush happen."""

    def __init__(self, memory_limit: int, item_limit: int) -> None:
        self.memory_limit = memory_limit
        self.item_limit = item_limit
        self.counters = Counters()
        self._items: OrderedDict[bytes, Item] = OrderedDict()
        self._bytes = 0
        self._last_cas_id = 0
        self._flush_at: float | None = None

    def __len__(self) -> int:
        return len(self._items)

    @property
    def bytes_used(self) -> int:
        """Memory held, by the reckoning that `memory_limit` bounds."""
        return self._bytes

    def get(self, key: bytes, now: float) -> Item | None:
        """The item, which becomes the most recently used one."""
        item = self._live(key, now)
        self.counters.cmd_get += 1
        if item is None:
            self.counters.get_misses += 1
            return None
        self.counters.get_hits += 1
        self._items.move_to_end(key)
        return item

    def touch(self, key: bytes, exptime: int, now: float) -> Outcome:
        """Gives an item a new expiry time; its value and cas id stay."""
        item = self._live(key, now)
        self.counters.cmd_touch += 1
        if item is None:
            self.counters.touch_misses += 1
            return Outcome.NOT_FOUND
        self.counters.touch_hits += 1
        self._items[key] = msgspec.structs.replace(item, expires_at=expiry(exptime, now))
        self._items.move_to_end(key)
        return Outcome.TOUCHED

    def set(self, key: bytes, value: bytes, flags: int, exptime: int, now: float) -> Outcome:
        self._flush_if_due(now)
        return self._put(key, value, flags, expiry(exptime, now))

    def add(self, key: bytes, value: bytes, flags: int, exptime: int, now: float) -> Outcome:
        """Stores only where nothing is; a refused add counts as a use of what is there."""
        if self._live(key, now) is not None:
            self._items.move_to_end(key)
            return self._unchanged(Outcome.NOT_STORED)
        return self._put(key, value, flags, expiry(exptime, now))

    def replace(self, key: bytes, value: bytes, flags: int, exptime: int, now: float) -> Outcome:
        if self._live(key, now) is None:
            return self._unchanged(Outcome.NOT_STORED)
        return self._put(key, value, flags, expiry(exptime, now))

    def extend(self, key: bytes, before: bytes, after: bytes, now: float) -> Outcome:
        """Lengthens a value at either end; flags and expiry stay the item's own."""
        item = self._live(key, now)
        if item is None:
            return self._unchanged(Outcome.NOT_STORED)
        if len(before) + len(item.value) + len(after) + len(key) > self.item_limit:
            return self._unchanged(Outcome.TOO_LARGE)
        return self._put(key, before + item.value + after, item.flags, item.expires_at)

    def cas(self, key: bytes, value: bytes, flags: int, exptime: int, cas_id: int, now: float) -> Outcome:
        """Stores only if nobody has stored since the client read `cas_id`."""
        item = self._live(key, now)
        if item is None:
            self.counters.cas_misses += 1
            return self._unchanged(Outcome.NOT_FOUND)
        if item.cas_id != cas_id:
            self.counters.cas_badval += 1
            return self._unchanged(Outcome.EXISTS)
        self.counters.cas_hits += 1
        return self._put(key, value, flags, expiry(exptime, now))

    def adjust(self, key: bytes, delta: int, down: bool, now: float) -> int | Outcome:
        """Counts a decimal value up (wrapping at 64 bits) or down (to no less than zero); returns the new number.

        A shorter number is padded with spaces to the length of the one it replaces, as memcached does.
        """
        item = self._live(key, now)
        self._count_adjust(down, hit=item is not None)
        if item is None:
            return Outcome.NOT_FOUND
        number = leading_number(item.value)
        if number is None:
            return Outcome.NOT_NUMERIC
        number = max(0, number - delta) if down else (number + delta) % _COUNTER_LIMIT
        self._insert(key, (b"%d" % number).ljust(len(item.value)), item.flags, item.expires_at)
        return number

    def delete(self, key: bytes, now: float) -> Outcome:
        if self._live(key, now) is None:
            self.counters.delete_misses += 1
            return Outcome.NOT_FOUND
        self.counters.delete_hits += 1
        self._remove(key)
        return Outcome.DELETED

    def forget(self, key: bytes) -> None:
        """Drops an item whose replacement was refused, so that nobody reads the old one."""
        if key in self._items:
            self._remove(key)

    def flush(self, delay_s: int, now: float) -> None:
        """Drops everything: now, or what is there when the delay is over. A later flush replaces an earlier one."""
        self._flush_if_due(now)
        self.counters.cmd_flush += 1
        if delay_s > 0:
            self._flush_at = expiry(delay_s, now)
        else:
            self._flush_at = None
            self._clear()

    def reset_counters(self) -> None:
        self.counters = Counters()

    def _live(self, key: bytes, now: float) -> Item | None:
        self._flush_if_due(now)
        item = self._items.get(key)
        if item is None or item.expires_at is None or now < item.expires_at:
            return item
        self.counters.get_expired += 1
        self._remove(key)
        return None

    def _flush_if_due(self, now: float) -> None:
        if self._flush_at is not None and now >= self._flush_at:
            self._flush_at = None
            self._clear()

    def _clear(self) -> None:
        self._items.clear()
        self._bytes = 0

    def _put(self, key: bytes, value: bytes, flags: int, expires_at: float | None) -> Outcome:
        self.counters.cmd_set += 1
        self.counters.total_items += 1
        self._insert(key, value, flags, expires_at)
        return Outcome.STORED

    def _unchanged(self, outcome: Outcome) -> Outcome:
        self.counters.cmd_set += 1
        return outcome

    def _insert(self, key: bytes, value: bytes, flags: int, expires_at: float | None) -> None:
        """Puts a new version in place and makes room by dropping the least recently used."""
        self.forget(key)
        self._last_cas_id += 1
        self._items[key] = Item(value, flags, expires_at, self._last_cas_id)
        self._bytes += _cost(key, value)
        while self._bytes > self.memory_limit and len(self._items) > 1:
            oldest = next(iter(self._items))
            self._remove(oldest)
            self.counters.evictions += 1

    def _remove(self, key: bytes) -> None:
        self._bytes -= _cost(key, self._items.pop(key).value)

    def _count_adjust(self, down: bool, hit: bool) -> None:
        counters = self.counters
        if down:
            counters.decr_hits, counters.decr_misses = counters.decr_hits + hit, counters.decr_misses + (not hit)
        else:
            counters.incr_hits, counters.incr_misses = counters.incr_hits + hit, counters.incr_misses + (not hit)


def expiry(exptime: int, now: float) -> float | None:
    """The Unix time an item ends: 0 is never, a negative one is over, up to 30 days count from `now`."""
    if exptime == 0:
        return None
    if exptime < 0:
        return now
    return now + exptime if exptime <= RELATIVE_LIMIT_S else float(exptime)


def leading_number(value: bytes) -> int | None:
    """The 64-bit decimal at the start of a value, ended by a space or the end; None where there is none."""
    digits = value.lstrip().split(b" ", 1)[0]
    if not digits.isdigit() or len(digits) > 1024 or int(digits) >= _COUNTER_LIMIT:
        return None
    return int(digits)


def _cost(key: bytes, value: bytes) -> int:
    return len(key) + len(value) + ITEM_OVERHEAD
