from __future__ import annotations

from deploy.lab.compare.analysis import summarize
from deploy.lab.compare.faults import Condition
from deploy.lab.compare.findings import by_fault, findings
from deploy.lab.compare.history import Eviction, History, Outcome
from deploy.lab.compare.texts import Words
from tests.deploy.compare.histories import broken_from_2_to_6, history, request


def run_with(arrangement: str, errors: int, fault: str = "errors", *evictions: Eviction) -> History:
    condition = Condition.BUSY if fault == "overload" else Condition.ERRORS
    during = [request(3.0, "ui1", Outcome.ERROR)] * errors + [request(3.0, "ui2")] * 100
    return history(
        *during, arrangement=arrangement, fault=fault, evictions=evictions, changes=broken_from_2_to_6(condition)
    )


def said(*runs: History) -> str:
    return " ".join(findings(by_fault(summarize(runs)), Words("en")))


def test_the_best_and_the_worst_are_named_together_with_those_hardly_apart() -> None:
    text = said(run_with("passive", 84), run_with("active", 28), run_with("both", 31), run_with("nginx", 88))

    assert "active, both harmed the fewest users (28–31), passive, nginx the most (84–88)" in text


def test_a_difference_of_one_or_two_requests_is_none() -> None:
    assert "no difference for users (0–2 harmed" in said(run_with("passive", 0), run_with("active", 2))


def test_a_server_that_was_never_taken_out_and_drew_the_traffic_is_told_of() -> None:
    text = said(run_with("passive", 150), run_with("active", 20, "errors", Eviction(3.0, "ui1", True)))

    assert "Passive never took the broken server out." in text
    assert "up to 60 % of the answers (passive)" in text


def test_taking_out_a_busy_server_is_told_of() -> None:
    text = said(run_with("active", 0, "overload", Eviction(3.0, "ui1", True)), run_with("nginx", 0, "overload"))

    assert "Active took out a server whose answers were right and in time." in text
