"""The loop's delays are told apart: those of the machine, and those that the daemon makes itself."""

from __future__ import annotations

import threading
import time

from services.oned_lite.server.lateness import Histogram, Lateness


def test_values_are_counted_up_to_each_bound() -> None:
    histogram = Histogram()
    for value_s in (0.0, 0.02, 0.3, 9.0):
        histogram.add(value_s)
    counts = dict(histogram.cumulated())
    assert (counts["0.005"], counts["0.02"], counts["0.25"], counts["0.5"], counts["+Inf"]) == (1, 2, 2, 3, 4)
    assert histogram.sum_s == 9.32


def test_waiting_is_late_but_not_our_own_doing() -> None:
    lateness = Lateness(0.0)
    threading.Event().wait(0.12)
    lateness.ticked()
    assert dict(lateness.wall.cumulated())["0.1"] == 0
    assert dict(lateness.own.cumulated())["0.1"] == 1


def test_work_in_one_go_is_our_own_doing() -> None:
    lateness = Lateness(0.0)
    until_s = time.thread_time() + 0.12
    while time.thread_time() < until_s:
        pass
    lateness.ticked()
    assert dict(lateness.own.cumulated())["0.1"] == 0
