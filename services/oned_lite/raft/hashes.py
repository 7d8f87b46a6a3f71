"""Comparing states: equal logs applied to equal states must give equal hashes.

A server remembers its hash at its latest applied indexes. The leader compares what followers report with its own. A
majority that contradicts the leader condemns the leader; otherwise whoever contradicts it is condemned.
"""

from collections import OrderedDict
from collections.abc import Collection

from .output import Divergence


class StateHashes:
    """This server's own hashes, by applied index; the latest of them."""

    def __init__(self, kept_max: int) -> None:
        self._kept_max = kept_max
        self._kept: OrderedDict[int, int] = OrderedDict()

    def add(self, index: int, value: int) -> None:
        self._kept[index] = value
        if len(self._kept) > self._kept_max:
            self._kept.popitem(last=False)

    def at(self, index: int) -> int | None:
        return self._kept.get(index)


class Verdicts:
    """What the leader has found about the others since it leads. Each is spoken once."""

    def __init__(self, server_id: int) -> None:
        self._server_id = server_id
        self._differing: dict[int, Divergence] = {}
        self._spoken: set[int] = set()

    def note(self, server: int, index: int, ours: int | None, theirs: int | None) -> None:
        if ours is None or theirs is None:
            return
        if ours == theirs:
            self._differing.pop(server, None)
        else:
            self._differing[server] = Divergence(server, index, expected=ours, actual=theirs)

    def speak(self, voters: Collection[int]) -> list[Divergence]:
        """Who turned out to be wrong since last asked."""
        contradicting = [found for server, found in self._differing.items() if server in voters]
        condemned = list(self._differing.values())
        if len(contradicting) > len(voters) // 2:
            found = contradicting[0]
            condemned = [Divergence(self._server_id, found.index, expected=found.actual, actual=found.expected)]
        fresh = [found for found in condemned if found.server_id not in self._spoken]
        self._spoken.update(found.server_id for found in fresh)
        return fresh
