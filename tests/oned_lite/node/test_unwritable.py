"""A mistake in a handler costs its own call and nothing else."""

from __future__ import annotations

import pytest

from services.oned_lite.api.call import Call
from services.oned_lite.api.catalogue import METHODS
from services.oned_lite.api.method import MethodTable
from services.oned_lite.model.objects import COUNTERS, Counter

from .cluster import Cluster

FAULTY = MethodTable("one.faulty")


@FAULTY.add("row")
def row(call: Call) -> int:
    call.tx.put(COUNTERS, Counter(tablename="too much", last_oid=2**70))
    return 0


@FAULTY.add("answer")
def answer(call: Call) -> int:
    return 2**70


@pytest.mark.parametrize("method", sorted(FAULTY.methods))
def test_what_cannot_be_written_down_is_an_error_of_that_call(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, method, FAULTY.methods[method])
    cluster = Cluster(1)
    with pytest.raises(AssertionError, match=r"64 bits|can't serialize"):  # how this cluster reports defects
        cluster.call(0, method)
    assert cluster.call(0, "one.template.allocate", "NAME = t") == [True, 0, 0]
