"""What only the leader does: decide writes, replicate them, release answers, and see to driver work and timers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from traceback import format_exc

from services.oned_lite.api.bootstrap import bootstrap
from services.oned_lite.lifecycle.hook_events import observe_changes
from services.oned_lite.lifecycle.work import Duty, Step, Timer, WorkResult
from services.oned_lite.model.errors import ApiError, internal
from services.oned_lite.model.user import USERS
from services.oned_lite.raft.types import Busy, NotLeader
from services.oned_lite.state import ChangeSet, Overlay, Transaction

from .announcements import Announcements
from .clock import Moment
from .gate import Outcome, Request, serve, unexpected
from .replica import Replica, encode_answer
from .requests import CommitQueue, Computed, Pending
from .supervisor import Supervisor
from .timers import TimerClock

RETRY_S = 1.0


class Leader:
    """`ready` from the moment that an entry of the present term is applied until leadership ends: before that, the state
    may lack what earlier leaders committed (Raft paper, section 8)."""

    def __init__(self, replica: Replica, duties: Sequence[Duty], timers: Sequence[Timer]) -> None:
        self._replica = replica
        self._overlay = Overlay(replica.store)
        self._queue = CommitQueue()
        self._announcements = Announcements(replica)
        self._reads: dict[int, Computed] = {}
        self._next_context = 0
        self._last_proposal = 0
        self._supervisor = Supervisor(duties, replica.conf)
        self._timers = TimerClock(timers)
        self.ready = False

    @property
    def waiting(self) -> int:
        return len(self._queue) + len(self._reads)

    # ------------------------------------------------------------------ beginning and end
    def begin(self, moment: Moment) -> None:
        replica = self._replica
        self.ready = True
        if replica.store.count(USERS.table) == 0:
            self._bootstrap(moment)
        self._supervisor.start_all(replica.store, self._overlay, replica.effects)
        self._timers.start(moment.ms)

    def end(self) -> list[Computed]:
        """Stops all driver work, tells waiting writers that their outcome is unknown, and returns the reads: whoever
        leads now can answer those."""
        self.ready = False
        self._supervisor.stop_all(self._replica.effects)
        self._overlay.clear()
        self._announcements.clear()
        for computed in self._queue.abandon():
            self._replica.refuse(computed.pending, _leadership_lost())
        reads = list(self._reads.values())
        self._reads.clear()
        return reads

    def reset(self, moment: Moment) -> int | None:
        """Proposes a fresh database in the place of everything; None where that is not possible now."""
        if not self.ready:
            return None
        tx = self._transaction(moment, "reset")
        for table in self._replica.store.tables.values():
            for key in self._overlay.keys(table):
                tx.delete(table, key)
        self._fill(tx)
        try:
            return self._propose(tx, "reset", moment)
        except (Busy, NotLeader):
            return None

    def hurry(self, moment: Moment) -> None:
        self._timers.start(moment.ms)

    def _bootstrap(self, moment: Moment) -> None:
        tx = self._transaction(moment, "bootstrap")
        self._fill(tx)
        self._propose(tx, "bootstrap", moment)

    def _fill(self, tx: Transaction) -> None:
        """The objects of a fresh database."""
        settings = self._replica.settings
        serveradmin = tx.random(32).hex()
        bootstrap(
            tx,
            self._replica.conf,
            admin=settings.admin,
            password=settings.password,
            serveradmin_password=settings.serveradmin_password or serveradmin,
            servers=settings.servers,
        )

    # ------------------------------------------------------------------ requests
    def serve(self, pending: Pending, moment: Moment) -> None:
        """Decides a request on the newest state and answers once everything it could have seen is committed."""
        replica = self._replica
        seed = moment.seed_for(f"{pending.client.peer}/{pending.client.number}")
        request = Request(pending.method, pending.arguments, moment.epoch_s, seed)
        outcome = serve(
            replica.methods, self._overlay, replica.conf, replica.cluster_status(), request, replica.sessions
        )
        try:
            self._hold_answer(pending, outcome, moment)
        except Busy:
            replica.refuse(
                pending, internal("Cannot process request, too many writes are waiting for the other servers")
            )
        except NotLeader:
            replica.refuse(pending, internal("Cannot process request, no leader found"))
        except (ValueError, OverflowError):  # a mistake of ours: a value that cannot be written down
            replica.effects.defects.append(format_exc())
            replica.refuse(pending, unexpected())

    def _hold_answer(self, pending: Pending, outcome: Outcome, moment: Moment) -> None:
        body, given_up_ms = encode_answer(outcome.answer), moment.ms + self._replica.settings.forward_timeout_ms
        if outcome.defect:
            self._replica.effects.defects.append(outcome.defect)
        if outcome.transaction is not None:
            index = self._propose(outcome.transaction, pending.method, moment)
            self._queue.add(Computed(pending, body, index, given_up_ms))
        elif len(self._overlay):
            self._queue.add(Computed(pending, body, self._last_proposal, given_up_ms))
        else:
            self._next_context += 1
            self._replica.raft.read_index(self._next_context, moment.ms)
            self._reads[self._next_context] = Computed(pending, body, 0, given_up_ms)
        if self._announcements.wanted:
            tx = outcome.transaction or self._transaction(moment, "event")
            self._announcements.call(pending, outcome.answer, tx, self._last_proposal)

    def _propose(self, tx: Transaction, origin: str, moment: Moment) -> int:
        """Raises Busy or NotLeader; nothing has changed then."""
        self._queue_hooks(tx)
        data = tx.change_set(origin).encode()
        events = self._announcements.changes(tx)
        index = self._replica.raft.propose((data,), moment.ms)
        self._overlay.add(index, tx.rows)
        self._last_proposal = index
        self._announcements.hold(index, events)
        return index

    def _queue_hooks(self, tx: Transaction) -> None:
        before = tx.savepoint()
        try:
            observe_changes(tx)
        except Exception:  # a mistake on the way to a hook must not take the change down with it
            tx.roll_back(before)
            self._replica.effects.defects.append(format_exc())

    def _transaction(self, moment: Moment, purpose: str) -> Transaction:
        return Transaction(self._overlay, now=moment.epoch_s, seed=moment.seed_for(purpose))

    # ------------------------------------------------------------------ what consensus reports
    def applied(self, index: int, change_set: ChangeSet) -> None:
        """The entry is in the committed state: sets answers free and looks after the rows it changed."""
        replica = self._replica
        self._overlay.applied(index)
        for computed in self._queue.applied(index):
            replica.answer(computed.client, computed.body, computed.index)
        self._announcements.applied(index)
        if not self.ready:
            return
        for change in change_set.changes:
            self._supervisor.row_changed(replica.store, self._overlay, change.table, change.key, replica.effects)
            self._timers.table_changed(change.table)

    def read_ready(self, context: int) -> None:
        computed = self._reads.pop(context, None)
        if computed is not None:
            self._replica.answer(computed.client, computed.body, self._replica.store.applied_index)

    def read_failed(self, context: int) -> Computed | None:
        return self._reads.pop(context, None)

    # ------------------------------------------------------------------ work and timers
    def work_finished(self, result: WorkResult, moment: Moment) -> None:
        found = self._supervisor.finish(self._overlay, result.key)
        if found is None or not self.ready:
            return
        duty, work = found
        if not self._step(result.key.action, lambda step: duty.finished(step, work, result), moment):
            self._supervisor.again(work, RETRY_S, self._replica.effects)

    def give_up_late(self, now_ms: int) -> None:
        """The others are there and do not write: whoever waits is told so in the end."""
        for computed in self._queue.late(now_ms):
            self._replica.refuse(computed.pending, _no_majority_in_time())

    def run_timers(self, moment: Moment) -> None:
        for timer in self._timers.due(moment.ms):
            self._step(timer.name, timer.run, moment)

    def _step(self, origin: str, run: Callable[[Step], None], moment: Moment) -> bool:
        """Runs one step of a life cycle or timer; whether it changed anything and is on its way."""
        tx = self._transaction(moment, origin)
        try:
            run(Step(tx, self._replica.conf))
        except Exception:  # a mistake in one kind's life cycle must not stop the others'
            self._replica.effects.defects.append(format_exc())
            return False
        if not tx.rows:
            return False
        try:
            self._propose(tx, origin, moment)
        except (Busy, NotLeader):
            return False
        return True


def _no_majority_in_time() -> ApiError:
    return internal("No majority had the change in time: whether it will happen is unknown")


def _leadership_lost() -> ApiError:
    return internal("Leadership was lost before a majority had the change: whether it will happen is unknown")
