"""The store: bounded memory, least recently used out first, times relative and absolute."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cache.store import ITEM_OVERHEAD, RELATIVE_LIMIT_S, ItemStore, Outcome, expiry, leading_number

NOW = 1_700_000_000.0


def room_for(items: int, size: int = 10) -> ItemStore:
    return ItemStore(memory_limit=items * (ITEM_OVERHEAD + size), item_limit=1000)


def test_the_least_recently_used_item_makes_room() -> None:
    store = room_for(3)
    for key in (b"a", b"b", b"c"):
        store.set(key, b"x" * 9, 0, 0, NOW)
    store.get(b"a", NOW)
    store.set(b"d", b"x" * 9, 0, 0, NOW)
    assert [key for key in (b"a", b"b", b"c", b"d") if store.get(key, NOW)] == [b"a", b"c", b"d"]
    assert store.counters.evictions == 1


@given(st.lists(st.tuples(st.sampled_from(["set", "extend", "delete"]), st.binary(max_size=1), st.integers(0, 200))))
def test_memory_never_passes_its_limit_and_is_reckoned_exactly(steps: list[tuple[str, bytes, int]]) -> None:
    store = ItemStore(memory_limit=2000, item_limit=1000)
    for verb, key, size in steps:
        match verb:
            case "set":
                store.set(key, b"x" * size, 0, 0, NOW)
            case "extend":
                store.extend(key, b"x" * size, b"", NOW)
            case _:
                store.delete(key, NOW)
        held = sum(len(key) + len(item.value) + ITEM_OVERHEAD for key, item in store._items.items())
        assert store.bytes_used == held <= 2000


@pytest.mark.parametrize(
    ("exptime", "ends"),
    [
        (0, None),
        (-1, NOW),
        (1, NOW + 1),
        (RELATIVE_LIMIT_S, NOW + RELATIVE_LIMIT_S),
        (RELATIVE_LIMIT_S + 1, RELATIVE_LIMIT_S + 1),
        (int(NOW) + 100, NOW + 100),
    ],
)
def test_expiry_times_count_from_now_up_to_thirty_days(exptime: int, ends: float | None) -> None:
    assert expiry(exptime, NOW) == ends


def test_an_item_is_there_until_its_moment_and_not_after() -> None:
    store = room_for(3)
    store.set(b"a", b"1", 0, 10, NOW)
    assert store.get(b"a", NOW + 9.99) is not None
    assert store.get(b"a", NOW + 10) is None
    assert store.add(b"a", b"2", 0, 0, NOW + 10) is Outcome.STORED


def test_an_extended_value_keeps_its_expiry() -> None:
    store = room_for(3)
    store.set(b"a", b"1", 0, 10, NOW)
    store.extend(b"a", b"", b"2", NOW + 5)
    assert store.get(b"a", NOW + 10) is None


def test_a_value_cannot_be_extended_beyond_the_item_limit() -> None:
    store = room_for(3)
    store.set(b"a", b"x" * 900, 0, 0, NOW)
    assert store.extend(b"a", b"", b"x" * 100, NOW) is Outcome.TOO_LARGE
    item = store.get(b"a", NOW)
    assert item is not None and len(item.value) == 900


def test_a_delayed_flush_spares_what_is_stored_after_its_moment() -> None:
    store = room_for(3)
    store.set(b"before", b"1", 0, 0, NOW)
    store.flush(10, NOW)
    store.set(b"meanwhile", b"1", 0, 0, NOW + 5)
    store.set(b"after", b"1", 0, 0, NOW + 11)
    assert [key for key in (b"before", b"meanwhile", b"after") if store.get(key, NOW + 12)] == [b"after"]


def test_a_later_flush_replaces_a_delayed_one() -> None:
    store = room_for(3)
    store.flush(10, NOW)
    store.flush(0, NOW)
    store.set(b"a", b"1", 0, 0, NOW + 5)
    assert store.get(b"a", NOW + 20) is not None


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (b"12", 12),
        (b"12  ", 12),
        (b" 7", 7),
        (b"0" * 30 + b"5", 5),
        (b"", None),
        (b"x", None),
        (b"1x", None),
        (b"18446744073709551615", 2**64 - 1),
        (b"18446744073709551616", None),
        (b"9" * 10_000, None),
    ],
)
def test_a_counter_is_the_decimal_a_value_begins_with(value: bytes, number: int | None) -> None:
    assert leading_number(value) == number
