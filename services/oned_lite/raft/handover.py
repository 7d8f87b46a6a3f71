"""Handing leadership over, so that nobody waits for a timeout (thesis section 3.10)."""

from .core import Core
from .durability import After
from .messages import TimeoutNow
from .replication import Replication
from .types import Busy


class Handover:
    """At most one at a time. While it lasts nothing is proposed, so that the target can catch up with the end."""

    def __init__(self, core: Core, replication: Replication) -> None:
        self._core = core
        self._replication = replication
        self._target: int | None = None
        self._deadline_ms = 0
        self._asked = False

    @property
    def under_way(self) -> bool:
        return self._target is not None

    def check_open(self) -> None:
        if self.under_way:
            raise Busy(f"leadership is being handed over to server {self._target}")

    def begin(self, target: int | None) -> bool:
        """To `target`, or to whoever is furthest. Whether there is anybody to hand over to."""
        core = self._core
        chosen = self._best_successor() if target is None else target
        if chosen is None or chosen == core.server_id or chosen not in core.configurations.current.voters:
            return False
        if self._target != chosen:
            self._target, self._asked = chosen, False
            self._deadline_ms = core.now_ms + core.config.election_timeout_ms
        return True

    def tick(self) -> None:
        """Give up in time. If this server's own disk does not answer, give up leading, too: to a successor that has
        everything, or without one, because whoever waits for this leader may wait for ever."""
        core = self._core
        expired = self._target is not None and core.now_ms >= self._deadline_ms
        if expired:
            self._target = None
        if not self._disk_stalls():
            return
        if expired:
            self.leave()
        else:
            self.begin(None)

    def _disk_stalls(self) -> bool:
        core = self._core
        oldest_ms = core.durability.oldest_write_ms()
        return oldest_ms is not None and core.now_ms - oldest_ms > core.config.persist_stall_ms

    def proceed(self) -> None:
        """Tell the target to campaign, once it has everything and nothing is left undecided here."""
        core, target = self._core, self._target
        if target is None or self._asked or target not in self._replication.progress:
            return
        last_index = core.log.last_index
        if self._replication.match(target) == last_index == core.commit_index:
            self._asked = True
            core.send(target, TimeoutNow(core.term), After.NOTHING)

    def leave(self) -> None:
        """Step down at once, with a word to the best successor."""
        core = self._core
        successor = self._best_successor()
        if successor is not None:
            core.send(successor, TimeoutNow(core.term), After.NOTHING)
        core.become_follower(core.term)

    def _best_successor(self) -> int | None:
        """The voter that was heard of lately and has most of the log."""
        core, replication = self._core, self._replication
        voters = [voter for voter in core.configurations.current.voters if voter != core.server_id]
        return max(filter(replication.is_active, voters), key=replication.match, default=None)
