from __future__ import annotations

import math
from dataclasses import replace

import pytest

from deploy.lab.compare.analysis import (
    NEVER,
    Broken,
    Flaw,
    broken,
    figures,
    flaws,
    percentile,
    quiet_s,
    spread,
    summarize,
    summary_rows,
)
from deploy.lab.compare.faults import Change, Condition
from deploy.lab.compare.history import Eviction, History, Outcome, outcome, without_blinks
from tests.deploy.compare.histories import PLAN, broken_from_2_to_6, history, request, tried


@pytest.mark.parametrize(
    ("status", "latency_s", "judged"),
    [
        (200, 0.2, Outcome.OK),
        (302, 1.0, Outcome.OK),
        (200, 1.01, Outcome.STALLED),
        (502, 0.01, Outcome.ERROR),
        (404, 0.01, Outcome.ERROR),
        (0, 3.0, Outcome.ERROR),
    ],
)
def test_an_answer_is_judged_as_a_user_would(status: int, latency_s: float, judged: Outcome) -> None:
    assert outcome(status, latency_s, stall_s=1.0) is judged


def test_errors_and_stalls_are_counted_apart_and_giving_up_is_an_error() -> None:
    seen = figures(history(*(request(at, outcome=each) for at, each in enumerate(Outcome))))

    assert (seen.requests, seen.errors, seen.stalls, seen.harmed) == (4, 2, 1, 3)


def test_a_server_is_broken_from_a_change_for_the_worse_to_the_next_one() -> None:
    changes = (Change(1, "ui1", Condition.REFUSES), Change(2, "ui1", Condition.WELL), Change(3, "ui2", Condition.SLOW))

    assert broken(changes, until_s=9) == (
        Broken("ui1", 1, 2, Condition.REFUSES),
        Broken("ui2", 3, 9, Condition.SLOW),
    )


def asked(*tries: float, changes: tuple[Change, ...] = broken_from_2_to_6(), probes: tuple[float, ...] = ()) -> History:
    """60 requests in 10 seconds to three servers: half a second would be chance, five are none."""
    load = [request(number / 6, "ui2") for number in range(60)]
    return history(*load, changes=changes, attempts=(*tried(*tries), *tried(*probes, probe=True)))


def test_a_server_is_avoided_from_the_last_request_before_a_silence_that_is_no_chance() -> None:
    assert quiet_s(asked()) == 5.0
    assert figures(asked(1.0, 2.5, 3.5, 8.9)).detect_s == 1.5


def test_a_single_trial_after_the_silence_does_not_count_against_it_nor_do_probes() -> None:
    assert figures(asked(2.25, 7.5, 7.6, probes=(3.0, 4.0, 5.0, 6.0))).detect_s == 0.25


def test_a_server_that_got_no_request_at_all_was_avoided_at_once() -> None:
    assert figures(asked(1.9, 9.0)).detect_s == 0


def test_a_server_that_requests_went_to_all_the_time_was_never_avoided() -> None:
    assert figures(asked(*(2.0 + 0.5 * number for number in range(16)))).detect_s == NEVER


def test_the_end_of_the_run_is_no_silence() -> None:
    assert figures(asked(2.5, 4.0, 5.5)).detect_s == NEVER


def test_of_a_busy_server_or_without_packets_nobody_says_when_it_was_avoided() -> None:
    assert math.isnan(figures(asked(2.5, changes=broken_from_2_to_6(Condition.BUSY))).detect_s)
    assert math.isnan(figures(history(request(1.0), changes=broken_from_2_to_6())).detect_s)


def test_the_balancers_own_account_is_the_time_until_it_said_that_the_broken_server_is_out() -> None:
    outs = (Eviction(0.5, "ui1", True), Eviction(2.6, "ui2", True), Eviction(3.5, "ui1", True))

    assert figures(history(evictions=outs, changes=broken_from_2_to_6())).told_s == 1.5


def test_a_fault_that_nobody_told_of_was_never_told() -> None:
    assert figures(history(changes=broken_from_2_to_6())).told_s == NEVER


def test_recovery_ends_with_the_first_good_answer_to_a_request_that_came_after_the_cure() -> None:
    seen = history(
        request(5.9, "ui1", latency_s=0.3),
        request(6.2, "ui2"),
        request(6.5, "ui1", Outcome.ERROR),
        request(7.0, "ui1", latency_s=0.25),
        changes=broken_from_2_to_6(),
    )

    assert figures(seen).recover_s == pytest.approx(1.25)


def test_a_server_that_serves_no_more_never_recovered() -> None:
    assert figures(history(request(7.0, "ui2"), changes=broken_from_2_to_6())).recover_s == NEVER


def test_taking_out_a_well_server_is_false_and_shortly_after_the_cure_it_is_not() -> None:
    outs = (Eviction(1.0, "ui1", True), Eviction(3.0, "ui1", True), Eviction(3.5, "ui2", True), Eviction(6.4, "ui1", True))

    assert figures(history(evictions=outs, changes=broken_from_2_to_6())).false_ejections == 2


def test_a_server_that_was_only_tried_was_out_all_the_time() -> None:
    first, back, again = Eviction(1.0, "ui1", True), Eviction(3.0, "ui1", False), Eviction(3.1, "ui1", True)
    other, much_later = Eviction(3.05, "ui2", True), Eviction(4.0, "ui1", True)

    assert without_blinks((first, back, other, again)) == (first, other)
    assert without_blinks((first, back, much_later)) == (first, back, much_later)


def test_coming_back_is_no_ejection() -> None:
    assert figures(history(evictions=(Eviction(3.0, "ui2", False),), changes=broken_from_2_to_6())).false_ejections == 0


@pytest.mark.parametrize(("fate", "falsely"), [(Outcome.OK, 1), (Outcome.STALLED, 0), (Outcome.ERROR, 0)])
def test_taking_out_a_busy_server_is_false_if_its_users_got_right_answers_in_time(fate: Outcome, falsely: int) -> None:
    busy = broken_from_2_to_6(Condition.BUSY)
    seen = history(request(2.5, "ui1", fate), evictions=(Eviction(3.0, "ui1", True),), changes=busy)

    assert figures(seen).false_ejections == falsely


def test_the_share_of_a_broken_server_is_of_the_answers_while_it_was_broken() -> None:
    during = [request(3.0, "ui1", Outcome.ERROR), request(4.0, "ui1", Outcome.ERROR), request(5.0, "ui2")]
    seen = history(*during, request(1.0, "ui1"), request(3.5, ""), changes=broken_from_2_to_6())

    assert figures(seen).shared_out == pytest.approx(2 / 3)


def test_probes_are_those_that_were_sent_or_else_those_that_came_and_lateness_is_the_99th_percentile() -> None:
    received = history(request(1.0, sent_s=1.02), request(2.0, sent_s=2.3), probes=25)
    sent = replace(received, attempts=(*tried(1, 2, 3, probe=True), *tried(4, 5)))

    assert (figures(received).probes_per_s, figures(sent).probes_per_s) == (2.5, 0.3)
    assert figures(received).late_s == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("seen", "flaw"),
    [
        (history(request(1.0), request(3.0, outcome=Outcome.ERROR)), None),
        (history(*[request(1.0)] * 98, *[request(1.0, sent_s=1.5)] * 2), Flaw.LATE),
        (history(*[request(1.0)] * 99, request(1.0, sent_s=1.5)), None),
        (history(request(1.0, outcome=Outcome.ERROR)), Flaw.UNSETTLED),
        (history(request(1.9, outcome=Outcome.STALLED, latency_s=1.5)), None),
        (history(request(1.0), died=True), Flaw.DIED),
        (replace(history(request(1.0)), blind=True), Flaw.BLIND),
    ],
)
def test_a_run_is_not_trusted_for_late_load_harm_before_the_fault_a_dead_balancer_or_missed_packets(
    seen: History, flaw: Flaw | None
) -> None:
    assert flaws(seen, PLAN) == ({flaw} if flaw else set())


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(value) for value in range(1, 101)]

    assert [percentile(values, percent) for percent in (50, 90, 99, 100)] == [50, 90, 99, 100]
    assert percentile([3.0], 50) == 3.0
    assert percentile([], 99) == 0


def test_repetitions_become_medians_with_their_range() -> None:
    runs = [
        history(*[request(3.0, outcome=Outcome.ERROR)] * errors, changes=broken_from_2_to_6(), repetition=number)
        for number, errors in enumerate((5, 1, 3), start=1)
    ]
    (summary,) = summarize(runs, PLAN)

    assert (summary.repetitions, summary["harmed"].median) == (3, 3)
    assert (summary["errors"].median, summary["errors"].low, summary["errors"].high) == (3, 1, 5)
    rows = list(summary_rows([summary]))
    assert ("passive", "kill", 3, "told_s", "never", "never", "never", "yes") in rows
    assert ("passive", "kill", 3, "detect_s", "", "", "", "yes") in rows


def test_a_run_that_is_not_trusted_counts_only_where_there_is_no_other() -> None:
    good, bad = (history(request(1.0), died=died) for died in (False, True))
    (mixed,), (hopeless,) = summarize([bad, good, bad], PLAN), summarize([bad, bad], PLAN)

    assert (mixed.repetitions, mixed.flaws) == (1, set())
    assert (hopeless.repetitions, hopeless.flaws) == (2, {Flaw.DIED})
    assert ("passive", "kill", 2, "requests", "1.0000", "1.0000", "1.0000", "no: died") in list(summary_rows([hopeless]))


def test_a_spread_is_of_what_is_known() -> None:
    assert spread([math.nan, 2.0, NEVER, 1.0]).median == 2.0
    assert math.isnan(spread([math.nan]).median)
