"""When a failed attempt may be passed to the next peer, and what it costs the peer (nginx ``proxy_next_upstream``)."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Condition(enum.IntFlag):
    """Why an attempt failed. The names are those of ``proxy_next_upstream``; NO_LIVE cannot be configured."""

    ERROR = enum.auto()
    TIMEOUT = enum.auto()
    INVALID_HEADER = enum.auto()
    HTTP_500 = enum.auto()
    HTTP_502 = enum.auto()
    HTTP_503 = enum.auto()
    HTTP_504 = enum.auto()
    HTTP_403 = enum.auto()
    HTTP_404 = enum.auto()
    HTTP_429 = enum.auto()
    NON_IDEMPOTENT = enum.auto()
    NO_LIVE = enum.auto()


BY_STATUS = {int(c.name[5:]): c for c in Condition if c.name is not None and c.name.startswith("HTTP_")}
CONFIGURABLE = {c.name.lower(): c for c in Condition if c.name is not None and c is not Condition.NO_LIVE}
NON_IDEMPOTENT_METHODS = frozenset((b"POST", b"LOCK", b"PATCH"))
HARMLESS = Condition.HTTP_403 | Condition.HTTP_404


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """``proxy_next_upstream``, ``…_tries`` (0: as many as peers) and ``…_timeout`` (0: none)."""

    conditions: Condition = Condition.ERROR | Condition.TIMEOUT
    tries: int = 0
    timeout_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """What the decision needs to know of the request at the moment of a failure.

    ``tries_left`` counts the failed attempt as used. ``streamed`` means body bytes went out that are not kept.
    """

    method: bytes
    sent: bool
    streamed: bool
    tries_left: int
    elapsed_s: float


def may_retry(policy: RetryPolicy, condition: Condition, attempt: Attempt) -> bool:
    """Whether the next peer may be asked."""
    if condition & Condition.NO_LIVE or attempt.tries_left <= 0:
        return False
    if attempt.sent and attempt.method in NON_IDEMPOTENT_METHODS:
        condition |= Condition.NON_IDEMPOTENT
    if policy.conditions & condition != condition:
        return False
    if attempt.sent and attempt.streamed:
        return False
    return not (policy.timeout_s and attempt.elapsed_s >= policy.timeout_s)


def counts_as_failure(condition: Condition) -> bool:
    """Whether the peer is charged. An answer that is not retried never gets here and counts as success."""
    return not condition & HARMLESS


def final_status(condition: Condition) -> int:
    """The status for the client when no further peer is asked."""
    if condition & Condition.TIMEOUT:
        return 504
    for status, listed in BY_STATUS.items():
        if condition & listed:
            return status
    return 502


def tries_for(policy: RetryPolicy, usable_peers: int) -> int:
    """Attempts one request may make in a group with that many peers not marked down."""
    return min(policy.tries, usable_peers) if policy.tries else usable_peers
