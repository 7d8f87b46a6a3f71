"""The requests a server has taken on, each waiting for something: a leader, the leader's answer, or a commit."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from services.common.xmlrpc import Value


@dataclass(frozen=True, slots=True)
class Client:
    """Who gets the answer: a connection of ours (`peer` None, `number` its request id), or a server that handed the
    request on to us (`number` its number for it)."""

    number: int
    peer: int | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """A call that has no answer yet. `deadline_ms` is when waiting for it stops making sense.
    `linearizable`: a read that must see everything acknowledged before it was asked."""

    client: Client
    method: str
    arguments: list[Value]
    deadline_ms: int
    linearizable: bool = False


@dataclass(frozen=True, slots=True)
class Computed:
    """An answer that must not leave before `index` is committed and applied. From `given_up_ms` on nobody waits for that
    any more."""

    pending: Pending
    body: bytes
    index: int
    given_up_ms: int

    @property
    def client(self) -> Client:
        return self.pending.client

    @property
    def method(self) -> str:
        return self.pending.method


class CommitQueue:
    """Computed answers in the order of the entries they wait for, which is that in which they are given up."""

    def __init__(self) -> None:
        self._waiting: deque[Computed] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, computed: Computed) -> None:
        self._waiting.append(computed)

    def applied(self, index: int) -> Iterator[Computed]:
        """Gives out the answers that `index` sets free."""
        while self._waiting and self._waiting[0].index <= index:
            yield self._waiting.popleft()

    def late(self, now_ms: int) -> Iterator[Computed]:
        """Gives out the answers that have waited for too long."""
        while self._waiting and self._waiting[0].given_up_ms <= now_ms:
            yield self._waiting.popleft()

    def abandon(self) -> Iterator[Computed]:
        """Gives out everything: leadership is lost, and what became of it nobody here knows."""
        while self._waiting:
            yield self._waiting.popleft()
