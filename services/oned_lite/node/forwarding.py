"""A follower's side of writes: requests handed on to the leader, and answers that wait until this server has caught up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from services.common.xmlrpc import encode_call
from services.oned_lite.model.errors import ApiError, internal

from . import frames
from .replica import Replica
from .requests import Pending

CATCH_UP_MS = 1000
FORMER_LEADER_MS = 500
"""How long a leader that was replaced still has to tell what became of the requests that it was handed."""


@dataclass(frozen=True, slots=True)
class _Sent:
    pending: Pending
    leader: int
    deadline_ms: int


@dataclass(frozen=True, slots=True)
class _Answered:
    pending: Pending
    body: bytes
    index: int
    deadline_ms: int


class Forwarding:
    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._sent: dict[int, _Sent] = {}
        self._answered: list[_Answered] = []
        self._number = 0

    def __len__(self) -> int:
        return len(self._sent) + len(self._answered)

    def hand_on(self, pending: Pending, leader: int, now_ms: int) -> None:
        """Sends the request as it is: the leader authenticates it again, with the newest state."""
        self._number += 1
        deadline_ms = now_ms + self._replica.settings.forward_timeout_ms
        self._sent[self._number] = _Sent(pending, leader, deadline_ms)
        self._replica.send(leader, frames.Forward(self._number, encode_call(pending.method, pending.arguments)))

    def answered(self, frame: frames.Forwarded, now_ms: int) -> None:
        """The leader's answer: passed on once what it tells of is applied here too, so that the client's next read on
        this server shows it (after a second in any case)."""
        sent = self._sent.pop(frame.number, None)
        if sent is None:
            return
        if frame.index <= self._replica.store.applied_index:
            self._replica.answer(sent.pending.client, frame.body, frame.index)
        else:
            self._answered.append(_Answered(sent.pending, frame.body, frame.index, now_ms + CATCH_UP_MS))

    def refused(self, number: int) -> Pending | None:
        """The server asked does not lead; the request may go elsewhere."""
        sent = self._sent.pop(number, None)
        return None if sent is None else sent.pending

    def applied(self, index: int) -> None:
        self._release(lambda one: one.index <= index)

    def link_lost(self, peer: int) -> Iterator[Pending]:
        """The link to a server we asked is gone. Gives out the requests that may be repeated elsewhere (they only read);
        what became of the others is unknown, and their clients are told so."""
        lost = [number for number, sent in self._sent.items() if sent.leader == peer]
        return self._given_up(lost, "the leader's connection was lost")

    def leader_changed(self, leader: int, now_ms: int) -> None:
        """Whoever led before may hang, with its links open: nobody shall wait for it as long as for a leader."""
        soon_ms = now_ms + FORMER_LEADER_MS
        for number, sent in self._sent.items():
            if sent.leader != leader and sent.deadline_ms > soon_ms:
                self._sent[number] = replace(sent, deadline_ms=soon_ms)

    def tick(self, now_ms: int) -> Iterator[Pending]:
        """Time has passed. Gives out what `link_lost` does."""
        self._release(lambda one: one.deadline_ms <= now_ms)
        late = [number for number, sent in self._sent.items() if sent.deadline_ms <= now_ms]
        return self._given_up(late, "the leader gave no answer in time")

    def _given_up(self, numbers: list[int], reason: str) -> Iterator[Pending]:
        for number in numbers:
            pending = self._sent.pop(number).pending
            method = self._replica.methods.get(pending.method)
            if method is not None and method.reads:
                yield pending
            else:
                self._replica.refuse(pending, _unknown(reason))

    def _release(self, free: Callable[[_Answered], bool]) -> None:
        if not self._answered:
            return
        for one in self._answered:
            if free(one):
                self._replica.answer(one.pending.client, one.body, one.index)
        self._answered = [one for one in self._answered if not free(one)]


def _unknown(reason: str) -> ApiError:
    return internal(f"Cannot tell the outcome of the request: {reason}")
