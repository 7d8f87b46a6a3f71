"""Stands between the HTTP endpoint and the daemon: notes every call down and puts faults in the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from services.common.xmlrpc import Value
from services.oned_lite.server.calls import Answered, Backend
from services.oned_lite.server.http import Cancel

from .calls import CallLog
from .faults import NO_DOCUMENT, FaultRule, Faults


class WatchedBackend:
    """`now` gives the time in epoch seconds."""

    def __init__(self, backend: Backend, calls: CallLog, faults: Faults, now: Callable[[], int]) -> None:
        self._backend = backend
        self._calls = calls
        self._faults = faults
        self._now = now

    def call(self, method: str, arguments: list[Value], answered: Answered) -> Cancel:
        """`calls.Backend`."""
        noted = self._calls.add(method, arguments, self._now())

        def note(document: bytes) -> None:
            noted.answered(document)
            answered(document)

        rule = self._faults.take(method)
        if rule is None:
            return self._backend.call(method, arguments, note)
        disturbed = _Disturbed(self._backend, self._faults, rule, method, arguments, note)
        disturbed.begin()
        return disturbed.cancel


class _Disturbed:
    """One call that a fault is in the way of."""

    def __init__(
        self,
        backend: Backend,
        faults: Faults,
        rule: FaultRule,
        method: str,
        arguments: list[Value],
        answered: Answered,
    ) -> None:
        self._backend = backend
        self._faults = faults
        self._rule = rule
        self._method = method
        self._arguments = arguments
        self._answered = answered
        self._cancel: Cancel = lambda: None

    def begin(self) -> None:
        if self._rule.when == "before":
            self._later(lambda: self._answer(None))
        else:
            self._serve(lambda document: self._later(lambda: self._answer(document)))

    def cancel(self) -> None:
        """The client has gone away."""
        self._cancel()

    def _later(self, act: Callable[[], None]) -> None:
        self._cancel = asyncio.get_running_loop().call_later(self._rule.delay_s, act).cancel

    def _serve(self, answered: Answered) -> None:
        self._cancel = self._backend.call(self._method, self._arguments, answered)

    def _answer(self, served: bytes | None) -> None:
        document = self._rule.document(self._method, served)
        if document is not None:
            self._answered(document)
        elif self._rule.then == "serve":
            self._serve(self._answered)
        else:
            self._cancel = self._faults.hang(lambda: self._answered(NO_DOCUMENT))
