"""When scheduled actions come round again."""

from __future__ import annotations

import pytest

from services.oned_lite.lifecycle.scheduled_actions import End, Repeat, after_run, next_time
from services.oned_lite.model.scheduled_action import VM_PARENT, ScheduledAction

MONDAY = 1_700_000_000 - 1_700_000_000 % 86400 - 86400  # 2023-11-13 00:00 UTC
DAY = 86400


def action(repeat: Repeat, days: str, **fields: int) -> ScheduledAction:
    return ScheduledAction(
        oid=0, parent_id=0, parent_type=VM_PARENT, action="stop", time=MONDAY, repeat=repeat, days=days, **fields
    )


@pytest.mark.parametrize(
    ("repeat", "days", "later"),
    [
        (Repeat.WEEKLY, "1,3", 2 * DAY),
        (Repeat.WEEKLY, "1", 7 * DAY),
        (Repeat.WEEKLY, "0", 6 * DAY),
        (Repeat.MONTHLY, "1", 18 * DAY),
        (Repeat.YEARLY, "0", 49 * DAY),
        (Repeat.HOURLY, "6", DAY // 4),
    ],
)
def test_next_time(repeat: Repeat, days: str, later: int) -> None:
    assert next_time(action(repeat, days), MONDAY) == MONDAY + later


def test_missed_turns_are_not_made_up_for() -> None:
    row = after_run(action(Repeat.HOURLY, "1"), MONDAY + 10 * 3600 + 5, "")
    assert row is not None
    assert row.time == MONDAY + 11 * 3600


def test_the_last_of_several_times_ends_it() -> None:
    row = after_run(action(Repeat.HOURLY, "1", end_type=End.TIMES, end_value=2), MONDAY, "")
    assert row is not None
    assert after_run(row, row.time, "") is None


def test_a_failure_says_when_and_why() -> None:
    row = after_run(action(Repeat.HOURLY, "1"), MONDAY, "no")
    assert row is not None
    assert row.message == "Mon Nov 13 00:00:00 2023 : no"
