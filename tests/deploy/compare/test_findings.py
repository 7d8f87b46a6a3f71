"""Sentences are made of figures, and say no more than they carry."""

from __future__ import annotations

import pytest

from deploy.lab.compare.analysis import NEVER, Spread, Summary, summarize
from deploy.lab.compare.faults import Condition
from deploy.lab.compare.findings import by_fault, ends, findings, harm_differs, times_differ
from deploy.lab.compare.history import Eviction, History, Outcome
from deploy.lab.compare.texts import Words
from tests.deploy.compare.histories import PLAN, broken_from_2_to_6, history, request, tried


def run_with(arrangement: str, errors: int, fault: str = "errors", *evictions: Eviction) -> History:
    condition = Condition.BUSY if fault == "overload" else Condition.ERRORS
    during = [request(3.0, "ui1", Outcome.ERROR)] * errors + [request(3.0, "ui2")] * 100
    return history(
        *during, arrangement=arrangement, fault=fault, evictions=evictions, changes=broken_from_2_to_6(condition)
    )


def said(*runs: History) -> str:
    return " ".join(findings(by_fault(summarize(runs, PLAN)), PLAN, Words("en")))


def summary(figure: str, *values: float, arrangement: str = "passive") -> Summary:
    ordered = sorted(values)
    return Summary(
        arrangement, "kill", len(values), {figure: Spread(ordered[len(values) // 2], ordered[0], ordered[-1])}
    )


@pytest.mark.parametrize(
    ("one", "other", "differ"),
    [
        ((0,), (2,), False),
        ((0,), (9,), False),
        ((0,), (10,), True),
        ((28,), (84,), True),
        ((28,), (45,), False),
        ((2, 3, 4), (9, 10, 11), True),
        ((2, 3, 8), (8, 9, 10), False),
        ((0, 0, 0), (1, 1, 1), False),
        ((0, 1, 2), (16, 17, 55), True),
        ((0, 1, 12), (16, 17, 55), False),
    ],
)
def test_counts_differ_if_their_ranges_are_well_apart_and_chance_is_a_poor_explanation(
    one: tuple[float, ...], other: tuple[float, ...], differ: bool
) -> None:
    assert harm_differs(summary("harmed", *one), summary("harmed", *other)) is differ
    assert harm_differs(summary("harmed", *other), summary("harmed", *one)) is differ


@pytest.mark.parametrize(
    ("one", "other", "differ"),
    [
        ((0.1,), (0.5,), False),
        ((0.1,), (0.8,), True),
        ((0.1, 0.1, 0.2), (0.35, 0.4, 0.5), True),
        ((0.1, 0.1, 0.2), (0.25, 0.4, 0.5), False),
        ((0.1, 0.2, 0.9), (1.1, 1.4, 1.5), False),
        ((0.1,), (NEVER,), True),
        ((0.1, 0.2, 0.2), (0.3, 0.4, NEVER), False),
        ((0.1, 0.2, NEVER), (NEVER, NEVER, NEVER), False),
        ((NEVER,), (NEVER,), False),
    ],
)
def test_times_differ_by_more_than_chance_makes_which_is_less_with_repetitions(
    one: tuple[float, ...], other: tuple[float, ...], differ: bool
) -> None:
    assert times_differ("detect_s", 0.5)(summary("detect_s", *one), summary("detect_s", *other)) is differ


def test_who_cannot_be_told_from_either_end_is_named_at_neither() -> None:
    values = {"nginx": 88, "passive": 84, "both": 54, "active": 31, "haproxy": 28}
    all_of_them = [summary("harmed", value, arrangement=name) for name, value in values.items()]
    least, most = ends(all_of_them, "harmed", harm_differs)

    assert [each.arrangement for each in least] == ["haproxy", "active"]
    assert [each.arrangement for each in most] == ["passive", "nginx"]


def test_who_varies_too_much_to_be_told_from_anybody_does_not_hide_the_others() -> None:
    spreads = {"passive": (0, 1, 12), "active": (0, 1, 2), "both": (9, 12, 35), "nginx": (16, 17, 55)}
    all_of_them = [summary("harmed", *values, arrangement=name) for name, values in spreads.items()]
    least, most = ends(all_of_them, "harmed", harm_differs)

    assert [each.arrangement for each in least] == ["active"]
    assert [each.arrangement for each in most] == ["both", "nginx"]


def test_the_best_and_the_worst_are_named_together_with_those_hardly_apart() -> None:
    text = said(run_with("passive", 84), run_with("active", 28), run_with("both", 31), run_with("nginx", 88))

    assert "fewer users were harmed with active and both (28–31) than with passive and nginx (84–88)" in text


def test_a_difference_that_chance_may_make_is_called_none() -> None:
    assert "no difference for users beyond chance (0–2 harmed" in said(run_with("passive", 0), run_with("active", 2))


def test_a_server_that_was_never_taken_out_and_drew_the_traffic_is_told_of() -> None:
    text = said(run_with("passive", 150), run_with("active", 20, "errors", Eviction(3.0, "ui1", True)))

    assert "Never said that the server is out: passive." in text
    assert "up to 60 % of the answers (passive)" in text


def test_taking_out_a_busy_server_is_told_of() -> None:
    text = said(run_with("active", 0, "overload", Eviction(3.0, "ui1", True)), run_with("nginx", 0, "overload"))

    assert "A server whose answers were right and in time was taken out: active." in text


def avoided(arrangement: str, *until_s: float, told_s: float) -> list[History]:
    """Runs in which users' requests went to the server until then."""
    load = [request(number / 60, "ui2") for number in range(600)]
    return [
        history(
            *load,
            arrangement=arrangement,
            repetition=number,
            changes=broken_from_2_to_6(),
            attempts=tried(*(2 + 0.1 * step for step in range(round(until * 10) + 1))),
            evictions=(Eviction(2 + told_s, "ui1", True),),
        )
        for number, until in enumerate(until_s, start=1)
    ]


def test_who_avoided_the_broken_server_first_is_told_from_where_requests_went() -> None:
    text = said(*avoided("passive", 0.1, 0.1, 0.2, told_s=0.2), *avoided("active", 0.9, 1.0, 1.2, told_s=1.3))

    assert "avoided sooner with passive (0.10 s) than with active (1.0 s)" in text


def test_coming_back_is_compared_only_among_those_who_had_taken_it_out() -> None:
    def back(arrangement: str, after_s: float, *outs: Eviction) -> History:
        return history(
            request(6.0 + after_s, "ui1"), arrangement=arrangement, changes=broken_from_2_to_6(), evictions=outs
        )

    out = Eviction(3.0, "ui1", True)

    assert "back sooner with active (0.54 s) than with passive (3.0 s)" in said(
        back("active", 0.5, out), back("passive", 3.0, out)
    )
    assert "back sooner" not in said(back("active", 3.0, out), back("passive", 0.0))


def test_avoiding_it_before_any_check_knew_is_told_of_only_if_all_did() -> None:
    before, not_before = avoided("passive", 0.1, told_s=1.6), avoided("active", 1.5, told_s=1.6)

    assert "before any check took it out (1.6 s)" in said(*before)
    assert "before any check" not in said(*before, *not_before)


def test_runs_that_cannot_be_trusted_are_not_compared() -> None:
    bad = history(*[request(3.0, outcome=Outcome.ERROR)] * 200, arrangement="nginx", died=True)
    good = [history(request(3.0), arrangement=name) for name in ("passive", "active")]

    assert "no difference for users beyond chance (0 harmed)" in said(*good, bad)
    assert "Not counted, for their runs cannot be trusted: nginx." in said(*good, bad)
    assert "no run of it can be trusted" in said(bad)
