from __future__ import annotations

import pytest

from deploy.lab.compare.schedule import arrivals


def test_the_same_seed_gives_the_same_arrivals_and_another_seed_others() -> None:
    assert arrivals(7, 50, 10, 0.2) == arrivals(7, 50, 10, 0.2)
    assert arrivals(7, 50, 10, 0.2) != arrivals(8, 50, 10, 0.2)


def test_arrivals_are_in_order_within_the_run_and_as_many_as_the_rate_says() -> None:
    times = [arrival.at_s for arrival in arrivals(1, 100, 60)]

    assert times == sorted(times)
    assert times[0] > 0 and times[-1] < 60
    assert len(times) == pytest.approx(6000, rel=0.05)


def test_the_wished_share_of_requests_changes_something() -> None:
    due = arrivals(1, 100, 60, posts=0.2)

    assert sum(arrival.method == "POST" for arrival in due) / len(due) == pytest.approx(0.2, abs=0.03)
    assert all(arrival.method == "GET" for arrival in arrivals(1, 100, 5))


def test_the_wished_share_of_requests_goes_over_kept_connections_whatever_the_method() -> None:
    due = arrivals(1, 100, 60, posts=0.2, kept=0.8)
    posts = [arrival for arrival in due if arrival.method == "POST"]

    assert sum(arrival.kept for arrival in due) / len(due) == pytest.approx(0.8, abs=0.03)
    assert sum(arrival.kept for arrival in posts) / len(posts) == pytest.approx(0.8, abs=0.06)
