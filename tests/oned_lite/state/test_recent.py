"""The cache stays small, keeps what is used, and costs the same however much has gone through it."""

from __future__ import annotations

import time

from services.oned_lite.state import Recent

VALUE = object()


def test_it_holds_no_more_than_it_was_told() -> None:
    cache: Recent[int, object] = Recent(100)
    for key in range(1000):
        cache.put(key, VALUE)
    assert 50 <= sum(cache.get(key) is not None for key in range(1000)) <= 100


def test_what_is_used_again_and_again_stays() -> None:
    cache: Recent[int, object] = Recent(100)
    cache.put(-1, VALUE)
    for key in range(1000):
        cache.put(key, VALUE)
        assert cache.get(-1) is VALUE


def test_what_was_taken_is_gone_from_both_generations() -> None:
    cache: Recent[int, object] = Recent(4)
    cache.put(1, VALUE)
    cache.put(2, VALUE)
    cache.put(3, VALUE)  # 1 and 2 are of the elder generation now
    cache.get(1)  # and 1 is of both
    assert cache.take(1) is VALUE
    assert cache.get(1) is None


def test_a_value_costs_the_same_after_very_many() -> None:
    """Dropping the first key of a dict that loses one with every new one takes minutes here: it walks over the gaps."""
    cache: Recent[int, object] = Recent(32_000)
    began = time.process_time()
    for key in range(300_000):
        cache.put(key, VALUE)
    assert time.process_time() - began < 5.0
