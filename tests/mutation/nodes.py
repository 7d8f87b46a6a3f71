"""Mistakes of a whole server: when it answers, whom it obeys, who belongs to the zone."""

from .mutation import Mutation

_ONED = "services/oned_lite"
_NODE = "tests/oned_lite/node"
_WHOLE = (f"{_NODE}/test_node.py",)
_MEMBERS = (f"{_NODE}/test_membership.py",)
_THESIS = ("tests/oned_lite/raft/test_thesis.py", "tests/oned_lite/raft/test_cluster.py")
_TABLES = ("tests/oned_lite/server/test_table_writer.py", "tests/oned_lite/storage/test_contract.py")

REQUESTS = [
    Mutation(
        "a write is answered before it is committed",
        f"{_ONED}/node/leader.py",
        "            self._queue.add(Computed(pending, body, index, given_up_ms))\n",
        "            self._replica.answer(pending.client, body, index)\n",
        _WHOLE,
    ),
    Mutation(
        "an answer may tell of another's write that is not committed",
        f"{_ONED}/node/leader.py",
        "            self._queue.add(Computed(pending, body, self._last_proposal, given_up_ms))\n",
        "            self._replica.answer(pending.client, body)\n",
        _WHOLE,
    ),
    Mutation(
        "a leader decides linearizable reads without asking a majority",
        f"{_ONED}/node/leader.py",
        "            self._reads[self._next_context] = Computed(pending, body, 0, given_up_ms)\n",
        "            self._replica.answer(pending.client, body)\n",
        _WHOLE,
    ),
    Mutation(
        "waiting writers are told nothing when leadership is lost",
        f"{_ONED}/node/leader.py",
        "            self._replica.refuse(computed.pending, _leadership_lost())\n",
        "            pass\n",
        _WHOLE,
    ),
    Mutation(
        "what was proposed and lost stays visible to the next leadership",
        f"{_ONED}/node/leader.py",
        "        self._overlay.clear()\n",
        "",
        _WHOLE,
    ),
    Mutation(
        "a server leads before it has applied what earlier leaders committed",
        f"{_ONED}/node/node.py",
        "if entry.term == replica.raft.term and replica.raft.role is Role.LEADER and not self._leader.ready:",
        "if replica.raft.role is Role.LEADER and not self._leader.ready:",
        _WHOLE,
    ),
    Mutation(
        "a follower passes an answer on before it has applied what it tells of",
        f"{_ONED}/node/forwarding.py",
        "        if frame.index <= self._replica.store.applied_index:\n",
        "        if frame.index <= frame.index:\n",
        _WHOLE,
    ),
    Mutation(
        "a write whose leader fell silent is sent to the next one as well",
        f"{_ONED}/node/forwarding.py",
        "            if method is not None and method.reads:\n",
        "            if method is not None:\n",
        _WHOLE,
    ),
    Mutation(
        "a read handed on is answered from the tables of whoever gets it",
        f"{_ONED}/node/node.py",
        "self._route(Pending(Client(number, sender), method, arguments, deadline_ms, linearizable=True), moment)",
        "self._route(Pending(Client(number, sender), method, arguments, deadline_ms), moment)",
        _WHOLE,
    ),
    Mutation(
        "writes are refused while leadership is handed over",
        f"{_ONED}/node/node.py",
        "        if self._leader.ready and raft.handing_over and self._room_to_hold():\n",
        "        if self._leader.ready and raft.handing_over and not self._room_to_hold():\n",
        _WHOLE,
    ),
    Mutation(
        "a server that is elected while it stops goes on leading",
        f"{_ONED}/node/node.py",
        "            self.hand_over(moment)  # it may have been elected since it was told to stop\n",
        "            pass\n",
        _WHOLE,
    ),
    Mutation(
        "writers wait for ever for others that do not write",
        f"{_ONED}/node/requests.py",
        "        while self._waiting and self._waiting[0].given_up_ms <= now_ms:\n",
        "        while self._waiting and self._waiting[0].given_up_ms < 0:\n",
        _WHOLE,
    ),
    Mutation(
        "a request waits for a former leader as long as for a living one",
        f"{_ONED}/node/forwarding.py",
        "            if sent.leader != leader and sent.deadline_ms > soon_ms:\n",
        "            if sent.leader < 0:\n",
        _WHOLE,
    ),
    Mutation(
        "tables in the database claim to be further than they are",
        f"{_ONED}/server/table_writer.py",
        "            await self._storage.write_rows(index, changes, await self._render(changes))\n",
        "            await self._storage.write_rows(index + 1, changes, await self._render(changes))\n",
        _TABLES,
    ),
    Mutation(
        "a failed write of tables loses the rows",
        f"{_ONED}/server/table_writer.py",
        "            self._pending = rows | self._pending\n",
        "",
        _TABLES,
    ),
    Mutation(
        "a state from a snapshot is laid over the old one",
        f"{_ONED}/state/store.py",
        "        self._rows, self._indexes = other._rows, other._indexes\n",
        "        for name, rows in other._rows.items():\n            self._rows[name].update(rows)\n"
        "        self._indexes = other._indexes\n",
        _WHOLE,
    ),
]

MEMBERSHIP = [
    Mutation(
        "the id of a server that has not left yet is given away",
        f"{_ONED}/api/zone.py",
        "zone.servers), *call.cluster.members), default=-1)",
        "zone.servers),), default=-1)",
        _MEMBERS,
    ),
    Mutation(
        "servers of the zone never join consensus",
        f"{_ONED}/node/membership.py",
        "    yield from (AddLearner(server) for server in sorted(set(servers).difference(now.members())))\n",
        "",
        _MEMBERS,
    ),
    Mutation(
        "learners stay learners",
        f"{_ONED}/node/membership.py",
        "    yield from (Promote(server) for server in now.learners if server in servers)\n",
        "",
        _MEMBERS,
    ),
    Mutation(
        "servers removed from the zone go on voting",
        f"{_ONED}/node/membership.py",
        "    yield from (Remove(server) for server in now.voters if server not in servers and server != own_id)\n",
        "",
        _MEMBERS,
    ),
    Mutation(
        "a leader that is to go stays",
        f"{_ONED}/node/membership.py",
        "            raft.transfer_leadership(None, now_ms)\n",
        "            pass\n",
        _MEMBERS,
    ),
    Mutation(
        "a removed server goes on calling the others",
        f"{_ONED}/node/membership.py",
        "own_id), self.left)\n        if peers",
        "own_id))\n        if peers",
        _MEMBERS,
    ),
    Mutation(
        "a new server only knows the zone that it was told of",
        f"{_ONED}/node/membership.py",
        "    known = {**founding, **zone}\n",
        "    known = dict(founding)\n",
        _MEMBERS,
    ),
    Mutation(
        "a server that joins takes itself for a founder",
        f"{_ONED}/node/settings.py",
        "        if self.join:\n            return ()\n",
        "",
        _MEMBERS,
    ),
    Mutation(
        "a change is begun although a majority would be out of reach",
        f"{_ONED}/raft/roster.py",
        "        if active < majority(len(configuration.voters)):\n",
        "        if active < 0:\n",
        (*_THESIS, *_MEMBERS),
    ),
]

LOST_DISKS = [
    Mutation(
        "a server that lost its disk votes again as soon as it has been given something",
        f"{_ONED}/raft/election.py",
        "return self._core.emptied or (self._core.blank and request.last_index > 0)",
        "return self._core.blank and request.last_index > 0",
        _THESIS,
    ),
    Mutation(
        "a server that lost its disk does not know it",
        f"{_ONED}/raft/follower.py",
        "        if self._core.blank and _tells_of_commit(message):\n            self._core.set_emptied(True)\n",
        "",
        _THESIS,
    ),
    Mutation(
        "copies of a server that lost its disk count",
        f"{_ONED}/raft/replication.py",
        "        return 0 if progress.emptied else progress.match_index\n",
        "        return progress.match_index\n",
        _THESIS,
    ),
    Mutation(
        "a server that lost its disk confirms reads",
        f"{_ONED}/raft/leadership.py",
        "            return 0 if progress[voter].emptied else progress[voter].round\n",
        "            return progress[voter].round\n",
        _THESIS,
    ),
    Mutation(
        "a late answer makes up for a lost disk",
        f"{_ONED}/raft/replication.py",
        "progress.emptied = emptied or (progress.emptied and server in self._core.configurations.current.voters)",
        "progress.emptied = emptied",
        _THESIS,
    ),
    Mutation(
        "a server that lost its disk is welcomed before the others have agreed",
        f"{_ONED}/raft/leadership.py",
        "            elif core.configurations.current_index <= core.commit_index:\n",
        "            else:\n",
        _THESIS,
    ),
    Mutation(
        "a server that lost its disk counts again before its log says so",
        f"{_ONED}/raft/follower.py",
        "        if core.emptied and core.verified_index >= welcome.index:\n",
        "        if core.emptied:\n",
        _THESIS,
    ),
    Mutation(
        "a server that lost its disk forgets that when it is restarted",
        f"{_ONED}/raft/core.py",
        "HardState(self.term, self.vote, self.emptied) if",
        "HardState(self.term, self.vote) if",
        _THESIS,
    ),
]

MUTATIONS = [*REQUESTS, *MEMBERSHIP, *LOST_DISKS]
