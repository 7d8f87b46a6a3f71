from __future__ import annotations

import pytest

from deploy.lab.compare.analysis import NEVER, Broken, broken, figures, percentile, summarize, summary_rows
from deploy.lab.compare.faults import Change, Condition
from deploy.lab.compare.history import Eviction, Outcome, outcome, without_blinks
from tests.deploy.compare.histories import broken_from_2_to_6, history, request


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

    assert (seen.requests, seen.errors, seen.stalls) == (4, 2, 1)


def test_a_server_is_broken_from_a_change_for_the_worse_to_the_next_one() -> None:
    changes = (Change(1, "ui1", Condition.REFUSES), Change(2, "ui1", Condition.WELL), Change(3, "ui2", Condition.SLOW))

    assert broken(changes, until_s=9) == (
        Broken("ui1", 1, 2, Condition.REFUSES),
        Broken("ui2", 3, 9, Condition.SLOW),
    )


def test_detection_is_the_time_until_the_broken_server_was_first_taken_out() -> None:
    outs = (Eviction(0.5, "ui1", True), Eviction(2.6, "ui2", True), Eviction(3.5, "ui1", True))

    assert figures(history(evictions=outs, changes=broken_from_2_to_6())).detect_s == 1.5


def test_a_fault_that_nobody_noticed_was_never_detected() -> None:
    assert figures(history(changes=broken_from_2_to_6())).detect_s == NEVER


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


def test_taking_out_a_busy_server_is_false_because_its_answers_are_right() -> None:
    busy = broken_from_2_to_6(Condition.BUSY)

    assert figures(history(evictions=(Eviction(3.0, "ui1", True),), changes=busy)).false_ejections == 1


def test_the_share_of_a_broken_server_is_of_the_answers_while_it_was_broken() -> None:
    during = [request(3.0, "ui1", Outcome.ERROR), request(4.0, "ui1", Outcome.ERROR), request(5.0, "ui2")]
    seen = history(*during, request(1.0, "ui1"), request(3.5, ""), changes=broken_from_2_to_6())

    assert figures(seen).shared_out == pytest.approx(2 / 3)


def test_probes_are_given_per_second_and_lag_at_its_worst() -> None:
    seen = figures(history(request(1.0, sent_s=1.02), request(2.0, sent_s=2.3), probes=25))

    assert seen.probes_per_s == 2.5
    assert seen.lag_s == pytest.approx(0.3)


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(value) for value in range(1, 101)]

    assert [percentile(values, percent) for percent in (50, 90, 99, 100)] == [50, 90, 99, 100]
    assert percentile([3.0], 50) == 3.0
    assert percentile([], 99) == 0


def test_repetitions_become_medians_with_their_range() -> None:
    runs = [
        history(*[request(1.0, outcome=Outcome.ERROR)] * errors, changes=broken_from_2_to_6(), repetition=number)
        for number, errors in enumerate((5, 1, 3), start=1)
    ]
    (summary,) = summarize(runs)

    assert (summary.repetitions, summary.harmed) == (3, 3)
    assert (summary["errors"].median, summary["errors"].low, summary["errors"].high) == (3, 1, 5)
    assert summary["detect_s"].median == NEVER
    assert ("passive", "kill", 3, "detect_s", "never", "never", "never") in list(summary_rows([summary]))
