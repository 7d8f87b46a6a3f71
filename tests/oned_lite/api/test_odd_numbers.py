"""Numbers beyond all sense, found by fuzzing: refused or passed over, never a mistake of ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.oned_lite.local import LocalOned
from tests.support.oned import SESSION

HUGE = "9" * 30


@pytest.fixture
def oned(tmp_path: Path) -> Iterator[LocalOned]:
    yield LocalOned(tmp_path)


@pytest.mark.parametrize(
    "bounds", [(-(2**31), -2, -2, -2), (2**31 - 1, 2**31 - 1, 100, 0), (1, 3, 3, -3), (13, 0, 1, 1)]
)
def test_showback_of_months_outside_of_time_is_computed_as_nothing(bounds: tuple[int, ...], oned: LocalOned) -> None:
    oned.call("one.vm.allocate", SESSION, "CPU = 1\nMEMORY = 1", True)
    assert oned.call("one.vmpool.calculateshowback", SESSION, *bounds) == [True, "", 0]


def test_a_time_in_the_far_future_is_no_time(oned: LocalOned) -> None:
    oned.call("one.vm.allocate", SESSION, "CPU = 1\nMEMORY = 1", True)
    refused = oned.call("one.vm.schedadd", SESSION, 0, f"SCHED_ACTION = [ ACTION = poweroff, TIME = {HUGE} ]")
    assert refused[0] is False
    assert "Unable to parse the time value" in refused[1]


@pytest.mark.parametrize("reserved", ["1e309", "-1e309%", "nan", HUGE])
def test_hosts_with_boundless_reservations_are_still_listed(reserved: str, oned: LocalOned) -> None:
    oned.call("one.host.allocate", SESSION, "node", "dummy", "dummy", 0)
    oned.settle()
    oned.call("one.host.update", SESSION, 0, f'RESERVED_CPU = "{reserved}"\nRESERVED_MEM = "{reserved}"', 1)
    oned.settle()
    assert oned.call("one.hostpool.info", SESSION)[0] is True


def test_a_size_of_more_than_64_bits_counts_as_none(oned: LocalOned) -> None:
    oned.call(
        "one.template.allocate", SESSION, f'NAME = t\nCPU = 1\nMEMORY = "{HUGE}"\nDISK = [ TYPE = fs, SIZE = {HUGE} ]'
    )
    oned.call("one.template.instantiate", SESSION, 0, "", True, "", False)
    assert oned.call("one.vmpool.info", SESSION, -2, -1, -1, -2)[0] is True


@pytest.mark.parametrize("digits", ["²", "٣", "1,²", "9" * 5000, "9" * 18])
def test_digits_that_are_no_ids_or_days_are_answered(digits: str, oned: LocalOned) -> None:
    oned.call("one.vm.allocate", SESSION, "CPU = 1\nMEMORY = 1", True)
    for method, *arguments in (
        (
            "one.vm.schedadd",
            0,
            f'SCHED_ACTION = [ ACTION = poweroff, TIME = 4000000000, REPEAT = 1, DAYS = "{digits}" ]',
        ),
        ("one.vm.schedadd", 0, f"SCHED_ACTION = [ ACTION = poweroff, TIME = {digits}, REPEAT = 3, DAYS = 1 ]"),
        ("one.vmpool.infoset", digits, False),
        ("one.vn.allocate", f'NAME = n\nVN_MAD = bridge\nBRIDGE = b\nSECURITY_GROUPS = "{digits}"', 0),
        ("one.vmgroup.allocate", f'NAME = g\nROLE = [ NAME = a, HOST_AFFINED = "{digits}" ]'),
        ("one.backupjob.allocate", f'NAME = j\nBACKUP_VMS = "{digits}"'),
        ("one.vm.allocate", f'CPU = 1\nMEMORY = 1\nCONTEXT = [ FILES_DS = "$FILE[IMAGE_ID={digits}]" ]', True),
    ):
        assert oned.call(method, SESSION, *arguments)[0] in (True, False)
    oned.settle()
