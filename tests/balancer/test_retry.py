from __future__ import annotations

import pytest

from services.balancer.core.retry import Attempt, Condition, RetryPolicy, counts_as_failure, final_status, may_retry
from services.balancer.core.retry import tries_for as tries

DEFAULT = RetryPolicy()


def attempt(method: bytes = b"GET", **more: object) -> Attempt:
    values = {"sent": True, "streamed": False, "tries_left": 2, "elapsed_s": 0.0, **more}
    return Attempt(method=method, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("condition", [Condition.ERROR, Condition.TIMEOUT])
def test_errors_and_timeouts_go_to_the_next_peer_by_default(condition: Condition) -> None:
    assert may_retry(DEFAULT, condition, attempt())


@pytest.mark.parametrize("condition", [Condition.HTTP_503, Condition.INVALID_HEADER, Condition.NO_LIVE])
def test_conditions_that_are_not_listed_do_not(condition: Condition) -> None:
    assert not may_retry(DEFAULT, condition, attempt())


@pytest.mark.parametrize("method", [b"POST", b"LOCK", b"PATCH"])
def test_a_sent_non_idempotent_request_is_not_repeated(method: bytes) -> None:
    assert not may_retry(DEFAULT, Condition.ERROR, attempt(method))
    assert may_retry(DEFAULT, Condition.ERROR, attempt(method, sent=False))
    allowed = RetryPolicy(DEFAULT.conditions | Condition.NON_IDEMPOTENT)
    assert may_retry(allowed, Condition.ERROR, attempt(method))


@pytest.mark.parametrize("method", [b"PUT", b"DELETE"])
def test_put_and_delete_are_repeated(method: bytes) -> None:
    assert may_retry(DEFAULT, Condition.TIMEOUT, attempt(method))


def test_tries_and_time_are_bounded() -> None:
    assert not may_retry(DEFAULT, Condition.ERROR, attempt(tries_left=0))
    assert not may_retry(RetryPolicy(timeout_s=3), Condition.ERROR, attempt(elapsed_s=3.0))
    assert (tries(RetryPolicy(), 3), tries(RetryPolicy(tries=2), 3), tries(RetryPolicy(tries=9), 3)) == (3, 2, 3)


def test_a_body_that_is_gone_cannot_be_sent_again() -> None:
    assert not may_retry(DEFAULT, Condition.ERROR, attempt(b"PUT", streamed=True))


def test_403_and_404_are_never_charged_to_the_peer() -> None:
    assert not counts_as_failure(Condition.HTTP_404)
    assert counts_as_failure(Condition.HTTP_500)


@pytest.mark.parametrize(
    ("condition", "status"),
    [(Condition.TIMEOUT, 504), (Condition.ERROR, 502), (Condition.INVALID_HEADER, 502), (Condition.HTTP_503, 503),
     (Condition.NO_LIVE, 502), (Condition.HTTP_429, 429)],
)  # fmt: skip
def test_the_status_when_nobody_is_left(condition: Condition, status: int) -> None:
    assert final_status(condition) == status
