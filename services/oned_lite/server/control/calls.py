"""The calls that a daemon has received, for a test to look at: without passwords, bounded in number."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import islice

import msgspec

from services.common.xmlrpc import Fault, Value, decode_response
from services.oned_lite.api.method import Method

CALLS_MAX = 10_000
TEXT_MAX = 8 << 10
ITEMS_MAX = 100
"""Of an array or a struct among the arguments."""
READ_ANSWER_MAX = 4096
"""Longer answers are no errors: they need not be read to know."""
HIDDEN = "****"


class ReceivedCall(msgspec.Struct, kw_only=True, omit_defaults=False):
    """`user` is who the session string names; `arguments` are those after it. `outcome`: "ok", "error" (oned's answer,
    with its `code` and `message`), "fault", "cut" or, so far or for ever, "none"."""

    number: int
    at: int
    method: str
    user: str
    arguments: list[Value]
    outcome: str = "none"
    code: int = 0
    message: str = ""

    def answered(self, document: bytes) -> None:
        if not document:
            self.outcome = "cut"
            return
        self.outcome = "ok"
        if len(document) > READ_ANSWER_MAX:
            return
        try:
            answer = decode_response(document)
        except Fault as fault:
            self.outcome, self.code, self.message = "fault", fault.code, fault.message
            return
        match answer:
            case [False, str(message), int(code), *_]:
                self.outcome, self.code, self.message = "error", code, message


class CallLog:
    """`methods` say which parameters hold secrets."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self._methods = methods
        self._calls: deque[ReceivedCall] = deque(maxlen=CALLS_MAX)
        self._count = 0

    @property
    def calls(self) -> tuple[ReceivedCall, ...]:
        return tuple(self._calls)

    def clear(self) -> None:
        self._calls.clear()

    def add(self, method: str, arguments: Sequence[Value], at: int) -> ReceivedCall:
        self._count += 1
        session = arguments[0] if arguments else ""
        user = session.partition(":")[0] if isinstance(session, str) and ":" in session else ""
        shown = self._shown(method, arguments[1:])
        call = ReceivedCall(number=self._count, at=at, method=method, user=user, arguments=shown)
        self._calls.append(call)
        return call

    def _shown(self, name: str, arguments: Sequence[Value]) -> list[Value]:
        method = self._methods.get(name)
        if method is None:
            return [HIDDEN for _ in arguments]
        hidden = {place for place, one in enumerate(method.parameters) if one.name in method.hidden}
        return [HIDDEN if place in hidden else _plain(value) for place, value in enumerate(arguments)]


def _plain(value: Value) -> Value:
    """As JSON has it, and not longer than anyone reads."""
    match value:
        case bool():
            return value
        case int():
            return int(value)
        case str():
            return value[:TEXT_MAX]
        case list():
            return [_plain(one) for one in value[:ITEMS_MAX]]
        case dict():
            return {key: _plain(one) for key, one in islice(value.items(), ITEMS_MAX)}
        case _:
            return value
