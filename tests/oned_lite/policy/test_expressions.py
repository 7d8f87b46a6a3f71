"""Requirement and rank expressions."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from services.oned_lite.policy.expressions import ExpressionError, rank, requirement

PLACE = {"NAME": ["kvm1"], "FREE_CPU": ["250"], "CLUSTERS/ID": ["0", "100"], "ARCH": ["x86_64"], "ZERO": ["0"]}


def lookup(name: str) -> Sequence[str]:
    return PLACE.get(name, [])


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("", True),
        ('NAME = "kvm*"', True),
        ('NAME != "kvm*"', False),
        ("FREE_CPU > 200 & FREE_CPU < 300", True),
        ("FREE_CPU = 250.0", True),
        ('!(NAME = "kvm1") | FREE_CPU > 1', True),
        ("!(PUBLIC_CLOUD = YES) & !(PIN_POLICY = PINNED)", True),
        ('("CLUSTERS/ID" @> 0 | "CLUSTERS/ID" @> 7) & (ARCH = x86_64)', True),
        ('"CLUSTERS/ID" @> 7', False),
        ("MISSING = 1", False),
        ('MISSING != "x"', False),
        ("FREE_CPU > 200 | NAME = nobody & NAME = nobody", False),
    ],
)
def test_a_requirement_is_met_or_not(text: str, met: bool) -> None:
    assert requirement(text)(lookup) is met


@pytest.mark.parametrize(
    ("text", "value"),
    [("", 0), ("FREE_CPU", 250), ("-FREE_CPU + 1", -249), ("2 * (FREE_CPU - 50) / 4", 100), ("1 / ZERO", 0)],
)
def test_a_rank_is_arithmetic(text: str, value: float) -> None:
    assert rank(text)(lookup) == value


@pytest.mark.parametrize("text", ["NAME", "NAME =", "& NAME = a", "(NAME = a", "NAME = a)", "!" * 2000 + "NAME = a"])
def test_what_is_no_requirement_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        requirement(text)


@pytest.mark.parametrize("text", ["FREE_CPU +", "(" * 2000, "2 3", "FREE_CPU ; 1"])
def test_what_is_no_rank_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        rank(text)
