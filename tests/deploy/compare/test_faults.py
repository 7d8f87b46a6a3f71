from __future__ import annotations

import pytest

from deploy.lab.compare.faults import FAULTS, Condition
from deploy.lab.compare.plan import SERVERS


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("lasts_s", [0.3, 2.6, 12.0])
def test_every_fault_breaks_something_at_once_and_leaves_all_servers_well_in_time(name: str, lasts_s: float) -> None:
    script = FAULTS[name](lasts_s)

    assert script[0].at_s == 0 and script[0].condition is not Condition.WELL
    assert [change.at_s for change in script] == sorted(change.at_s for change in script)
    assert script[-1].at_s <= lasts_s
    last = {change.server: change.condition for change in script}
    assert set(last.values()) == {Condition.WELL}


def test_a_rolling_restart_never_has_two_servers_down() -> None:
    down: set[str] = set()
    for change in FAULTS["rolling"](9.0):
        (down.discard if change.condition is Condition.WELL else down.add)(change.server)
        assert len(down) <= 1
    assert {change.server for change in FAULTS["rolling"](9.0)} == set(SERVERS)


def test_flapping_goes_back_and_forth() -> None:
    conditions = [change.condition for change in FAULTS["flap"](2.0)]

    assert conditions == [Condition.REFUSES, Condition.WELL] * 2 + [Condition.WELL]
