"""Faults that are put in the way of calls on purpose."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Annotated, Literal

import msgspec

from services.common.xmlrpc import I8, encode_fault, encode_response
from services.oned_lite.model.errors import ErrorCode

RULES_MAX = 1000
NO_DOCUMENT = b""
"""Instead of a response document: the connection is cut."""


class FaultRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens to calls of `method` (a pattern: "one.vm.*"), after `delay_s`.

    `then`: `serve` only delays; `error` answers as oned refuses, with `code` and `message`; `fault` is an XML-RPC fault;
    `hang` never answers; `reset` cuts the connection. `when` says whether that comes `before` the call is carried out,
    which then does not happen, or `after`, so that only its answer is lost. It goes for `times` calls (None: all).
    """

    method: str = "*"
    then: Literal["serve", "error", "fault", "hang", "reset"] = "serve"
    when: Literal["before", "after"] = "before"
    delay_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 0.0
    code: int = int(ErrorCode.INTERNAL)
    message: str = "Made to fail"
    times: Annotated[int, msgspec.Meta(ge=1)] | None = None

    def document(self, method: str, served: bytes | None) -> bytes | None:
        """What a call is answered with. `served`: the real answer, None where the call is still to be carried out; as a
        result None stands for none at all."""
        match self.then:
            case "serve":
                return served
            case "error":
                return encode_response([False, f"[{method}] {self.message}", self.code, -1, I8(-1)])
            case "fault":
                return encode_fault(self.code, self.message)
            case "reset":
                return NO_DOCUMENT
            case "hang":
                return None


class Faults:
    """Rules in the order in which they were given; the first that means a call decides on it."""

    def __init__(self) -> None:
        self._rules: list[FaultRule] = []
        self._left: list[int | None] = []
        self._hanging: set[Callable[[], None]] = set()

    @property
    def rules(self) -> tuple[FaultRule, ...]:
        return tuple(self._rules)

    def add(self, rule: FaultRule) -> None:
        """Raises ValueError where there are too many."""
        if len(self._rules) >= RULES_MAX:
            raise ValueError(f"there are {RULES_MAX} rules already; take some out first")
        self._rules.append(rule)
        self._left.append(rule.times)

    def clear(self) -> None:
        """Calls that hang are cut: many clients have long gone without anybody noticing."""
        self._rules.clear()
        self._left.clear()
        for cut in tuple(self._hanging):
            cut()
        self._hanging.clear()

    def hang(self, cut: Callable[[], None]) -> Callable[[], None]:
        """A call that is not answered until the faults are cleared; the result is to be called where its client leaves."""
        self._hanging.add(cut)
        return lambda: self._hanging.discard(cut)

    def take(self, method: str) -> FaultRule | None:
        """The rule for this call, which counts as one of its times."""
        for position, rule in enumerate(self._rules):
            left = self._left[position]
            if left != 0 and fnmatchcase(method, rule.method):
                self._left[position] = None if left is None else left - 1
                return rule
        return None
