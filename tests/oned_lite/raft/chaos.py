"""A cluster's bad day, from one seed: faults and requests at random, then peace, in which it must recover."""

import argparse
import random
import sys
from collections.abc import Callable

from services.oned_lite.raft import AddLearner, Promote, Remove, Role

from .cluster import ELECTION_TIMEOUT_MS, Cluster, Network, Server

SERVERS_MAX = 6
RECOVERY_MS = 20_000


class Chaos:
    def __init__(self, seed: int, duration_ms: int = 2500) -> None:
        rng = self._rng = random.Random(seed)
        self.cluster = Cluster(seed, size=rng.choice((1, 2, 3, 3, 3, 5)))
        self.duration_ms = duration_ms
        self._next_data = 0
        for server in self.cluster.servers.values():
            server.drift = rng.choice((1.0, 1.0, 0.9, 1.1))

    def run(self) -> None:
        """Raises AssertionError or BrokenInvariant if consensus fails."""
        while self.cluster.now_ms < self.duration_ms:
            self._one_action()
            self.cluster.run(self._rng.randint(1, 25))
        self._heal()
        self._demand_progress()
        self._demand_agreement()

    def _one_action(self) -> None:
        actions: list[tuple[int, Callable[[], object]]] = [
            (30, self._propose),
            (10, self._read),
            (3, self._compact),
            (2, self._crash),
            (6, self._start),
            (2, self._partition),
            (2, self._cut_one_way),
            (4, self._reconnect),
            (3, self._weather),
            (1, self._transfer),
            (4, self._change_membership),
            (1, self._pause),
            (4, self._resume),
            (1, self._fail_disk),
            (2, self._slow_disk),
            (1, self._disconnect),
            (2, self._forsake_leader),
        ]
        weights = [weight for weight, _ in actions]
        self._rng.choices([action for _, action in actions], weights)[0]()

    # Requests

    def _someone(self) -> Server:
        """Mostly the leader, or one who thinks so."""
        alive = self.cluster.alive()
        leaders = [server for server in alive if server.node and server.node.role is Role.LEADER]
        if leaders and self._rng.random() < 0.9:
            return self._rng.choice(leaders)
        return self._rng.choice(list(self.cluster.servers.values()))

    def _propose(self) -> None:
        datas = []
        for _ in range(self._rng.randint(1, 12)):
            self._next_data += 1
            datas.append(b"%d" % self._next_data + b"." * self._rng.randint(0, 100))
        self.cluster.propose(self._someone().server_id, *datas)

    def _read(self) -> None:
        self.cluster.read(self._someone().server_id)

    def _compact(self) -> None:
        self.cluster.compact(self._any(), keep=self._rng.randint(0, 5))

    def _transfer(self) -> None:
        target = self._rng.choice([None, self._any()])
        self.cluster.transfer(self._someone().server_id, target)

    def _change_membership(self) -> None:
        leader = self.cluster.leader()
        if leader is None:
            return
        configuration, ready = leader.configuration, None
        ready = next((learner for learner in configuration.learners if leader.learner_ready(learner)), None)
        if ready is not None:
            self.cluster.change(leader.server_id, Promote(ready))
        elif self._rng.random() < 0.5 and len(self.cluster.servers) < SERVERS_MAX:
            new = len(self.cluster.servers)
            if self.cluster.change(leader.server_id, AddLearner(new)) is not None:
                self.cluster.add_server(new)
        else:
            self._remove_or_return(leader.server_id)

    def _remove_or_return(self, leader: int) -> None:
        server = self._any()
        node = self.cluster.leader()
        if node is not None and server not in node.configuration:
            self.cluster.change(leader, AddLearner(server))
        elif self._rng.random() < 0.4:
            self.cluster.change(leader, Remove(server))

    def _any(self) -> int:
        return self._rng.choice(list(self.cluster.servers))

    # Faults

    def _crash(self) -> None:
        self.cluster.crash(self._any(), noticed=self._rng.random() < 0.5)

    def _start(self) -> None:
        down = [server.server_id for server in self.cluster.servers.values() if server.node is None]
        if down:
            self.cluster.start(self._rng.choice(down))

    def _partition(self) -> None:
        side = {server for server in self.cluster.servers if self._rng.random() < 0.5}
        for a in self.cluster.servers:
            for b in self.cluster.servers:
                if (a in side) != (b in side):
                    self.cluster.network.blocked.add((a, b))

    def _cut_one_way(self) -> None:
        self.cluster.network.blocked.add((self._any(), self._any()))

    def _reconnect(self) -> None:
        self.cluster.network.blocked.clear()

    def _weather(self) -> None:
        network = self.cluster.network
        network.loss = self._rng.choice((0.0, 0.0, 0.05, 0.3))
        network.duplication = self._rng.choice((0.0, 0.0, 0.2))
        network.delay_max_ms = self._rng.choice((1, 3, 3, 20, 60))

    def _pause(self) -> None:
        self.cluster.pause(self._any())

    def _resume(self) -> None:
        for server in self.cluster.servers.values():
            if server.paused:
                self.cluster.resume(server.server_id)

    def _fail_disk(self) -> None:
        self.cluster.fail_disk(self._any())

    def _slow_disk(self) -> None:
        self.cluster.servers[self._any()].disk_delay_max_ms = self._rng.choice((0, 2, 2, 30, 200))

    def _disconnect(self) -> None:
        self.cluster.disconnect(self._any(), self._any())

    def _forsake_leader(self) -> None:
        """The others see its connection close and can elect at once, while it has not noticed anything."""
        leader = self.cluster.leader()
        if leader is None:
            return
        for other in self.cluster.servers:
            if other != leader.server_id:
                self.cluster.network.blocked |= {(leader.server_id, other), (other, leader.server_id)}
                self.cluster.disconnect(other, leader.server_id)
        self.cluster.run(20)
        self._propose()
        self._read()

    # Peace

    def _heal(self) -> None:
        cluster = self.cluster
        cluster.network = Network()
        self._resume()
        for server in cluster.servers.values():
            server.disk_delay_max_ms = 2
            if server.node is not None and server.node.failed:
                cluster.crash(server.server_id)
            cluster.start(server.server_id)
        cluster.run(2 * ELECTION_TIMEOUT_MS)  # what is still under way, such as a hand-over, may arrive

    def _demand_progress(self) -> None:
        """A healthy cluster elects a leader that commits something new and answers a read."""
        cluster = self.cluster
        answered = cluster.answered_reads
        proposed: dict[tuple[int, int], int] = {}

        def progressed() -> bool:
            leader = cluster.leader()
            if leader is None:
                return False
            key = (leader.server_id, leader.term)
            if key not in proposed:
                index = cluster.propose(leader.server_id, b"after")
                if index is not None:
                    proposed[key] = index
                    cluster.read(leader.server_id)
                return False
            return leader.applied_index >= proposed[key] and cluster.answered_reads > answered

        assert cluster.run(RECOVERY_MS, until=progressed), "no progress after everything was healed"

    def _demand_agreement(self) -> None:
        """Every member ends with the same state, and removed servers keep quiet."""
        cluster = self.cluster

        def agreed() -> bool:
            leader = cluster.leader()
            if leader is None or leader.applied_index < leader.last_index:
                return False
            members = [cluster.servers[member] for member in leader.configuration.members()]
            return all(member.state == cluster.servers[leader.server_id].state for member in members)

        assert cluster.run(RECOVERY_MS, until=agreed), "the members' states stay different after everything was healed"
        leader = cluster.leader()
        term = leader.term if leader else None
        cluster.run(1000)
        after = cluster.leader()
        assert after is not None and after.term == term, f"the leader of term {term} was disturbed in peace"


def main() -> int:
    parser = argparse.ArgumentParser(description="Run seeded chaos against the consensus core.")
    parser.add_argument("--seeds", default="0..200", help="FIRST..LAST")
    first, last = map(int, parser.parse_args().seeds.split(".."))
    for seed in range(first, last):
        try:
            Chaos(seed).run()
        except Exception as error:
            sys.stderr.write(f"seed {seed}: {type(error).__name__}: {error}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
