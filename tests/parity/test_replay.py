"""Recorded answers of the real daemon, asked of ours: what passed once keeps passing."""

from __future__ import annotations

import pytest

from tests.parity import baseline


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", baseline.names())
def test_the_daemon_answers_as_recorded(name: str) -> None:
    failing = baseline.failing_steps(name)
    known = set(baseline.known_failures().get(name, ()))
    lost = [f"step {number} {' | '.join(why)}" for number, why in failing.items() if number not in known]
    assert not lost, "\n".join(lost)
