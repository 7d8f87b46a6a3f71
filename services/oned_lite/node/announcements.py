"""Events of the stream, held back until what they tell of is committed: a leader that is deposed tells nothing untrue."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from traceback import format_exc

from services.common.xmlrpc import Fault, Value
from services.oned_lite.lifecycle.event_stream import Event, call_event, state_events
from services.oned_lite.model.errors import ErrorCode
from services.oned_lite.state import Transaction

from .gate import Answer
from .replica import Replica
from .requests import Pending


class Announcements:
    """Of a leader."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._held: deque[tuple[int, Event]] = deque()

    @property
    def wanted(self) -> bool:
        """Whether anybody publishes them."""
        return self._replica.settings.events

    def changes(self, tx: Transaction) -> list[Event]:
        """The changes of state in a transaction that is about to be proposed."""
        if not self.wanted:
            return []
        return self._made(lambda: state_events(tx))

    def call(self, pending: Pending, answer: Answer, tx: Transaction, index: int) -> None:
        """A call that changes something and has been decided; its answer waits for `index`."""
        if isinstance(answer, Fault) or _unauthenticated(answer):
            return
        method = self._replica.methods[pending.method]
        if method.reads:
            return
        hidden = frozenset(place for place, one in enumerate(method.parameters) if one.name in method.hidden)
        self.hold(index, self._made(lambda: [call_event(tx, method.name, pending.arguments[1:], hidden, answer)]))

    def hold(self, index: int, events: list[Event]) -> None:
        """Until the entry at `index` is applied, which it may be already."""
        self._held.extend((index, event) for event in events)
        self.applied(self._replica.store.applied_index)

    def applied(self, index: int) -> None:
        while self._held and self._held[0][0] <= index:
            self._replica.effects.events.append(self._held.popleft()[1])

    def clear(self) -> None:
        """Leadership is lost: nobody here knows what becomes of them."""
        self._held.clear()

    def _made(self, make: Callable[[], list[Event]]) -> list[Event]:
        try:
            return make()
        except Exception:  # a mistake on the way to an event must not take the change down with it
            self._replica.effects.defects.append(format_exc())
            return []


def _unauthenticated(answer: Value) -> bool:
    """Of who cannot even log in nothing is told: anybody could fill the stream."""
    return isinstance(answer, list) and answer[0] is False and answer[2] == ErrorCode.AUTHENTICATION
