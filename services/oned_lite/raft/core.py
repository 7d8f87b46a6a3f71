"""The state every role shares, and the few moves that change it.

The roles (`election`, `follower`, `leadership`) decide; what they decide is done here, so that each invariant has one
place: a term never falls, a vote is given once per term, the commit index never falls and never leaves the log.
"""

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING

from .durability import After, Durability
from .hashes import StateHashes
from .log import Log
from .membership import ConfigurationHistory
from .messages import Message
from .outbox import Outbox
from .output import NOTHING, Output, RoleChange
from .types import (
    BrokenInvariant,
    Configuration,
    Entry,
    HardState,
    RaftConfig,
    Role,
    SnapshotMeta,
)

if TYPE_CHECKING:
    from .leadership import Leadership


class Core:
    def __init__(
        self,
        config: RaftConfig,
        hard_state: HardState,
        snapshot: SnapshotMeta | None,
        configuration: Configuration,
        entries: Sequence[Entry],
        applied_index: int,
        rng: Random,
        now_ms: int,
    ) -> None:
        base = snapshot or SnapshotMeta(0, 0, configuration)
        self.config = config
        self.rng = rng
        self.now_ms = now_ms
        self.term = hard_state.term
        self.vote = hard_state.vote
        self.emptied = hard_state.emptied
        self.role = Role.FOLLOWER
        self.leader_id: int | None = None
        self.leader_contact_ms: int | None = None  # None also once its connection is known to be closed
        self.leader_lost_ms: int | None = None  # when that connection closed, until another leader is heard
        self.leadership: Leadership | None = None
        self.log = Log(base.index, base.term, entries)
        self.configurations = ConfigurationHistory(base.index, base.configuration, entries)
        self.durability = Durability(self.log.last_index)
        self.hashes = StateHashes(config.state_hashes_kept)
        self.commit_index = max(base.index, applied_index)
        self.handed_index = self.commit_index  # given out to be applied
        self.applied_index = self.commit_index
        self.verified_index = 0  # up to here the log is known to be that of this term's leader
        self.removed = False
        self.failed = False
        self.election_deadline_ms = now_ms + rng.randint(0, config.election_timeout_ms // 4)
        self.outbox = Outbox()
        self._announced = RoleChange(self.role, self.term, None)
        if applied_index > self.log.last_index:
            raise ValueError(f"applied_index {applied_index} is beyond the log's end {self.log.last_index}")

    @property
    def server_id(self) -> int:
        return self.config.server_id

    @property
    def blank(self) -> bool:
        """Whether this server has never taken part, which looks the same as having lost its disk."""
        return self.term == 0 and self.log.last_index == 0

    def set_emptied(self, emptied: bool) -> None:
        self.emptied = emptied
        self.durability.term_dirty = True

    # Messages

    def send(self, peer: int, message: Message, after: After = After.TERM) -> None:
        """Send once what the message promises is durable. A message to this very server comes back the same way."""
        if not self.durability.hold(peer, message, after):
            self.outbox.messages.append((peer, message))

    def release(self, ticket: int) -> list[Message]:
        """Let go what waited for `ticket`; returns what was for this server itself. Promises of past terms are dropped."""
        own = []
        for peer, message in self.durability.persisted(ticket):
            if message.term < self.term:
                continue
            if peer == self.server_id:
                own.append(message)
            else:
                self.outbox.messages.append((peer, message))
        return own

    # Terms and roles

    def enter_term(self, term: int, vote: int | None) -> None:
        if term < self.term or (term == self.term and self.vote is not None):
            raise BrokenInvariant(f"term {self.term}, vote {self.vote} cannot become term {term}, vote {vote}")
        if term > self.term:
            self.verified_index = 0
        self.term, self.vote = term, vote
        self.durability.term_dirty = True

    def become_follower(self, term: int) -> None:
        """Follow nobody yet, in `term` or the current one if that is later. Ends a leadership."""
        if self.leadership is not None:
            self.leadership.abandon()
            self.leadership = None
        if term > self.term:
            self.enter_term(term, None)
        self.role = Role.FOLLOWER
        self.leader_id = None
        self.leader_contact_ms = None
        self.arm_retry()

    def follow(self, leader: int, term: int) -> None:
        """`leader` was heard in `term`, which is not older than ours.

        Following counts as voting for it: its majority is complete without us, and a server that lost its disk cannot
        vote a second time in a term it learned from that term's leader.
        """
        if term == self.term and self.role is Role.LEADER:
            raise BrokenInvariant(f"server {leader} claims to lead term {term}, which this server leads")
        if term > self.term or self.role is not Role.FOLLOWER:
            self.become_follower(term)
        if self.vote is None:
            self.enter_term(term, leader)
        self.leader_id = leader
        self.leader_contact_ms = self.now_ms
        self.leader_lost_ms = None
        self.removed = False
        timeout_ms = self.config.election_timeout_ms
        self.election_deadline_ms = self.now_ms + timeout_ms + self.rng.randint(0, timeout_ms // 2)

    def arm_retry(self) -> None:
        """Look again before long. Asking for pre-votes disturbs nobody, so this need not be a whole timeout."""
        timeout_ms = self.config.election_timeout_ms
        self.election_deadline_ms = self.now_ms + self.rng.randint(timeout_ms // 4, timeout_ms)

    # Log

    def append(self, entries: Sequence[Entry]) -> None:
        self.log.extend(entries)
        self.configurations.extend(entries)
        self.durability.log_dirty = True

    def replace(self, entries: Sequence[Entry]) -> None:
        """Give up whatever the log holds from the first of `entries` on in favour of them."""
        first = entries[0].index
        if first <= self.commit_index:
            raise BrokenInvariant(f"asked to replace entry {first}, but {self.commit_index} is committed")
        if first <= self.log.last_index:
            self.log.truncate(first)
            self.configurations.truncate(first)
            self.durability.rewrote(first)
        self.append(entries)

    def commit_to(self, index: int) -> None:
        if index > self.log.last_index:
            raise BrokenInvariant(f"asked to commit {index}, but the log ends at {self.log.last_index}")
        self.commit_index = max(self.commit_index, index)

    def install(self, meta: SnapshotMeta) -> None:
        """Start over behind a snapshot; what it covers counts as committed and handed out."""
        self.log.reset(meta.index, meta.term)
        self.configurations = ConfigurationHistory(meta.index, meta.configuration)
        self.durability.replaced(meta.index)
        self.commit_index = self.handed_index = meta.index
        self.verified_index = meta.index

    def compact(self, meta: SnapshotMeta) -> None:
        if meta.index <= self.log.base_index:
            return
        if meta.index > self.applied_index or self.log.term_at(meta.index) != meta.term:
            raise ValueError(f"cannot compact to {meta.index} of term {meta.term}: not an applied entry of this log")
        self.log.compact(meta.index)
        self.configurations.compact(meta.index)

    # Output

    def collect(self) -> Output:
        """Everything since the last time."""
        writes = not self.failed and (self.durability.term_dirty or self.durability.log_dirty)
        committed, role_changed = self._to_apply(), self._role_change()
        if not (writes or committed or role_changed or self.outbox):
            return NOTHING
        box, self.outbox = self.outbox, Outbox()
        hard_state, install = None, None
        entries: tuple[Entry, ...] = ()
        if writes:
            hard_state = HardState(self.term, self.vote, self.emptied) if self.durability.term_dirty else None
            install, entries = box.install, self._unsaved()
            self.durability.issue(self.log.last_index, self.now_ms)
        return Output(
            ticket=self.durability.ticket,
            hard_state=hard_state,
            entries=entries,
            install=install,
            messages=tuple(box.messages),
            committed=committed,
            reads=tuple(box.reads),
            failed_reads=tuple(box.failed_reads),
            snapshot_wanted=tuple(box.snapshot_wanted),
            role_changed=role_changed,
            dropped=tuple(box.dropped),
            diverged=tuple(box.diverged),
        )

    def _unsaved(self) -> tuple[Entry, ...]:
        return tuple(self.log.slice(self.durability.first_unsaved, self.log.last_index))

    def _to_apply(self) -> tuple[Entry, ...]:
        """Committed entries that are durable here too: a restart must find what was applied."""
        end = min(self.commit_index, self.durability.index)
        if end <= self.handed_index:
            return ()
        entries = tuple(self.log.slice(self.handed_index + 1, end))
        self.handed_index = end
        return entries

    def _role_change(self) -> RoleChange | None:
        told = self._announced
        if told.role is self.role and told.term == self.term and told.leader_id == self.leader_id:
            return None
        self._announced = RoleChange(self.role, self.term, self.leader_id)
        return self._announced
