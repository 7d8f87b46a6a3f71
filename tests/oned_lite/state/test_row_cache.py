"""The cache of decoded rows stays small, keeps what is used, and costs the same however much has gone through it."""

from __future__ import annotations

import time

from services.oned_lite.model.vmtemplate import VmTemplate
from services.oned_lite.state.row_cache import RowCache

ROW = VmTemplate(oid=0, name="t", regtime=1)


def test_it_holds_no_more_rows_than_it_was_told() -> None:
    cache = RowCache(100)
    for key in range(1000):
        cache.put(("t", key), ROW)
    assert 50 <= sum(cache.get(("t", key)) is not None for key in range(1000)) <= 100


def test_what_is_used_again_and_again_stays() -> None:
    cache = RowCache(100)
    cache.put(("t", -1), ROW)
    for key in range(1000):
        cache.put(("t", key), ROW)
        assert cache.get(("t", -1)) is ROW


def test_what_was_taken_is_gone_from_both_generations() -> None:
    cache = RowCache(4)
    cache.put(("t", 1), ROW)
    cache.put(("t", 2), ROW)
    cache.put(("t", 3), ROW)  # 1 and 2 are of the elder generation now
    cache.get(("t", 1))  # and 1 is of both
    assert cache.take(("t", 1)) is ROW
    assert cache.get(("t", 1)) is None


def test_a_row_costs_the_same_after_very_many() -> None:
    """Dropping the first key of a dict that loses one with every new one takes minutes here: it walks over the gaps."""
    cache = RowCache(32_000)
    began = time.process_time()
    for key in range(300_000):
        cache.put(("t", key), ROW)
    assert time.process_time() - began < 5.0
