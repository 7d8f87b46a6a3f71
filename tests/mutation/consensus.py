"""Mistakes that implementations of Raft have really made, and some that only look harmless."""

from .mutation import Mutation

_RAFT = "services/oned_lite/raft"
_TESTS = "tests/oned_lite/raft"
_SPECIFIED = (f"{_TESTS}/test_paper.py", f"{_TESTS}/test_thesis.py")
_ALL = (*_SPECIFIED, f"{_TESTS}/test_log.py", f"{_TESTS}/test_quorum.py", f"{_TESTS}/test_cluster.py")
_CHAOS = (f"{_TESTS}/test_chaos.py",)


def _mistake(mistake: str, module: str, before: str, after: str, tests: tuple[str, ...] = _ALL) -> Mutation:
    return Mutation(mistake, f"{_RAFT}/{module}.py", before, after, tests)


ELECTION = [
    _mistake(
        "a vote is answered before it is durable",
        "election",
        "core.send(sender, VoteResponse(core.term, granted))",
        "core.outbox.messages.append((sender, VoteResponse(core.term, granted)))",
    ),
    _mistake(
        "term and vote are never written",
        "core",
        "        self.term, self.vote = term, vote\n        self.durability.term_dirty = True\n",
        "        self.term, self.vote = term, vote\n",
    ),
    _mistake(
        "a server votes twice in a term",
        "election",
        "granted = core.vote == sender or (\n            core.vote is None and ",
        "granted = core.vote == sender or (\n            ",
    ),
    _mistake(
        "a vote is granted to a stale log",
        "log",
        "return (last_term, last_index) >= (self.last_term, self.last_index)",
        "return last_term >= self.last_term",
    ),
    _mistake(
        "the longer log wins, whatever its terms",
        "log",
        "return (last_term, last_index) >= (self.last_term, self.last_index)",
        "return last_index >= self.last_index",
    ),
    _mistake(
        "half of the votes are a majority",
        "quorum",
        "return size // 2 + 1",
        "return (size + 1) // 2",
    ),
    _mistake(
        "the vote survives into the next term",
        "core",
        "            self.enter_term(term, None)\n",
        "            self.enter_term(term, self.vote)\n",
    ),
    _mistake(
        "votes of the last election count in this one",
        "node",
        "        if message.term < core.term:\n            return\n        if isinstance(message, VoteResponse):",
        "        if isinstance(message, VoteResponse):",
    ),
    _mistake(
        "candidates do not ask before they raise the term",
        "election",
        "if core.configurations.current.voters == (core.server_id,):\n            self.campaign()",
        "if core.configurations.current.voters:\n            self.campaign()",
    ),
    _mistake(
        "anybody's campaign disturbs a healthy leader",
        "election",
        "if (self._hears_leader() and not request.transfer) or self._must_abstain(request):",
        "if self._must_abstain(request):",
    ),
    _mistake(
        "all election timeouts are equal",
        "core",
        "self.now_ms + timeout_ms + self.rng.randint(0, timeout_ms // 2)",
        "self.now_ms + timeout_ms",
    ),
    _mistake(
        "a leader without a majority stays one",
        "leadership",
        "return core.now_ms - self._quorum_value(self.replication.contact_ms) < core.config.election_timeout_ms",
        "return core.now_ms >= 0",
    ),
    _mistake(
        "a server that lost its disk votes for whoever lacks what it had acknowledged",
        "election",
        "return self._core.emptied or (self._core.blank and request.last_index > 0)",
        "return self._core.emptied",
    ),
    _mistake(
        "a server learns a term from its leader and then votes in it",
        "core",
        "        if self.vote is None:\n            self.enter_term(term, leader)\n",
        "",
    ),
    _mistake(
        "a failed write does not stop a server from voting",
        "node",
        "        if self._core.failed:\n            return\n        match message:",
        "        match message:",
    ),
]

REPLICATION = [
    _mistake(
        "heartbeats commit entries that were never verified",
        "follower",
        "min(index, core.verified_index)",
        "min(index, core.log.last_index)",
    ),
    _mistake(
        "replicas of older terms are counted",
        "leadership",
        "if index <= core.commit_index or core.log.term_at(index) != core.term:",
        "if index <= core.commit_index:",
    ),
    _mistake(
        "a new leader commits nothing of its own first",
        "leadership",
        "        self._append_first()\n        self._broadcast()",
        "        self._broadcast()",
    ),
    _mistake(
        "entries are acknowledged before they are durable",
        "follower",
        "core.send(sender, AppendAccepted(core.term, index, core.emptied), After.LOG)",
        "core.send(sender, AppendAccepted(core.term, index, core.emptied), After.NOTHING)",
    ),
    _mistake(
        "the leader counts its own copy before it is durable",
        "replication",
        "            return self._core.durability.index\n",
        "            return self._core.log.last_index\n",
    ),
    _mistake(
        "a write of entries that were replaced meanwhile counts for their successors",
        "durability",
        "            write.last_index = min(write.last_index, first - 1)\n",
        "            write.last_index = write.last_index\n",
    ),
    _mistake(
        "the term before new entries is not compared",
        "follower",
        "elif core.log.term_at(append.prev_index) != append.prev_term:",
        "elif core.log.term_at(append.prev_index) is None:",
    ),
    _mistake(
        "a late append deletes the entries after it",
        "follower",
        "        conflict = core.log.first_conflict(entries)\n",
        "        conflict = entries[0] if entries else None\n",
    ),
    _mistake(
        "conflicting entries are kept",
        "log",
        "if self.term_at(entry.index) != entry.term), None)",
        "if self.term_at(entry.index) is None), None)",
    ),
    _mistake(
        "a leader of an older term is obeyed",
        "node",
        "        if message.term < core.term:\n            core.send(sender, StaleTerm(core.term))\n            return\n",
        "",
    ),
    _mistake(
        "entries are applied before they are durable here",
        "core",
        "end = min(self.commit_index, self.durability.index)",
        "end = self.commit_index",
    ),
    _mistake(
        "a lost append is never repeated",
        "progress",
        "        elif verified_index < min(mark.next_index - 1, self.next_index - 1):\n            self.probe()\n",
        "",
        (*_ALL, *_CHAOS),
    ),
    _mistake(
        "a lost acknowledgement is never repeated",
        "replication",
        "return answer.accepted_index > progress.match_index and progress.accepted(answer.accepted_index)",
        "return False",
    ),
    _mistake(
        "heartbeats acknowledge whatever is on the disk, verified or not",
        "follower",
        "min(core.verified_index, core.durability.index),",
        "core.durability.index,",
        (*_SPECIFIED, *_CHAOS),
    ),
    _mistake(
        "a compacted log is taken to agree where it begins",
        "log",
        "return self.base_index + count if count or self.base_term <= term else self.base_index - 1",
        "return self.base_index + count",
    ),
    _mistake(
        "writers are not told that leadership was lost",
        "leadership",
        "        core.outbox.dropped.extend(entry.index for entry in undecided if entry.kind is not EntryKind.NOOP)\n",
        "",
    ),
]

READS = [
    _mistake(
        "a read is confirmed by an answer to an earlier heartbeat",
        "reads",
        "while self._asked and self._asked[0][0] <= round_number:",
        "while self._asked and self._asked[0][0] <= round_number + 1:",
    ),
    _mistake(
        "a leader answers reads without asking anybody",
        "leadership",
        "self._reads.confirm(self._answered_round())",
        "self._reads.confirm(self._round)",
    ),
    _mistake(
        "a new leader answers reads before it knows what is committed",
        "leadership",
        "self._reads.add(context, max(self._core.commit_index, self.first_index))",
        "self._reads.add(context, self._core.commit_index)",
    ),
    _mistake(
        "a read is answered before its index is applied",
        "reads",
        "while self._confirmed and self._confirmed[0].index <= applied_index:",
        "while self._confirmed:",
    ),
    _mistake(
        "a leader that slept answers from what it knew",
        "node",
        "        if core.leadership is not None and not core.leadership.hears_majority():\n"
        "            core.become_follower(core.term)\n",
        "",
    ),
]

SNAPSHOTS = [
    _mistake(
        "the log begins anew with the wrong term behind a snapshot",
        "core",
        "self.log.reset(meta.index, meta.term)",
        "self.log.reset(meta.index, self.term)",
    ),
    _mistake(
        "a snapshot carries a configuration newer than itself",
        "node",
        "return SnapshotMeta(index, term, self._core.configurations.at(index))",
        "return SnapshotMeta(index, term, self._core.configurations.current)",
    ),
    _mistake(
        "the configuration in a snapshot is ignored",
        "core",
        "self.configurations = ConfigurationHistory(meta.index, meta.configuration)",
        "self.configurations = ConfigurationHistory(meta.index, self.configurations.current)",
    ),
    _mistake(
        "chunks are put together in any order",
        "follower",
        "if chunk.offset == len(data) and end <= chunk.total",
        "if end <= chunk.total",
    ),
    _mistake(
        "a snapshot throws away entries behind it that the log agrees about",
        "follower",
        "if core.log.term_at(meta.index) == meta.term or meta.index <= core.commit_index:",
        "if meta.index <= core.commit_index:",
    ),
    _mistake(
        "a snapshot is acknowledged before it is durable",
        "follower",
        "        self._accept(sender, meta.index)\n",
        "        core.send(sender, AppendAccepted(core.term, meta.index), After.NOTHING)\n",
    ),
]

MEMBERSHIP = [
    _mistake(
        "learners count as voters",
        "leadership",
        "for voter in self._core.configurations.current.voters])",
        "for voter in self._core.configurations.current.members() if voter in self.replication.progress])",
    ),
    _mistake(
        "two changes of membership overlap",
        "roster",
        "if core.configurations.current_index > core.commit_index:",
        "if core.configurations.current_index > core.log.last_index:",
    ),
    _mistake(
        "a new leader changes the membership before it has committed anything",
        "roster",
        "if core.commit_index < self._first_index:",
        "if core.commit_index < 0:",
    ),
    _mistake(
        "a configuration stays in force although its entry was overwritten",
        "core",
        "            self.configurations.truncate(first)\n",
        "",
    ),
    _mistake(
        "a learner is promoted before it has caught up",
        "roster",
        "if isinstance(change, Promote) and not self.learner_ready(change.server):",
        "if isinstance(change, Promote) and change.server < 0:",
    ),
    _mistake(
        "a removed leader goes on leading",
        "leadership",
        "        if self.roster.leaves_itself:\n            self.handover.leave()\n",
        "",
    ),
    _mistake(
        "a removed server is left to disturb the others",
        "election",
        "            core.removed = True\n            core.become_follower(core.term)\n",
        "            core.become_follower(core.term)\n",
    ),
    _mistake(
        "a leader whose disk stalls and whom nobody can succeed keeps its writers waiting",
        "handover",
        "        if expired:\n            self.leave()\n        else:\n            self.begin(None)\n",
        "        self.begin(None)\n",
    ),
    _mistake(
        "leadership is handed to a server that lacks entries",
        "handover",
        "if self._replication.match(target) == last_index == core.commit_index:",
        "if core.commit_index <= last_index:",
    ),
]

MUTATIONS = [*ELECTION, *REPLICATION, *READS, *SNAPSHOTS, *MEMBERSHIP]
