"""What may stand in ARGUMENTS of a host_error hook."""

from __future__ import annotations

import pytest

from services.oned_lite.model.host_recovery import Remedy
from services.oned_lite.model.host_recovery_options import Options, OptionsFault, parse_options


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ("$TEMPLATE -m -p 5", Options(Remedy.MIGRATE, cycles=5)),
        ("$TEMPLATE -r", Options(Remedy.RECREATE, cycles=2)),
        ("-d -u -p0", Options(Remedy.DELETE, cycles=0, fences=False)),
        ("--migrate --force --no-fencing --pause=1", Options(Remedy.MIGRATE, cycles=1, fences=False, forced=True)),
        ("--recreate --pause 3", Options(Remedy.RECREATE, cycles=3)),
    ],
)
def test_short_and_long_options(arguments: str, options: Options) -> None:
    assert parse_options(arguments) == options


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("$TEMPLATE", "expected one of -m"),
        ("-m -d", "expected one of -m"),
        ("-m -x", "unknown option -x"),
        ("-m -p", "-p: expected how many"),
        ("-m -p five", "got 'five'"),
        ("-m -p 99999999999", "0 to 1440"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: str, problem: str) -> None:
    with pytest.raises(OptionsFault, match=problem):
        parse_options(arguments)
