"""Whole clusters of real nodes in one process: simulated time, network and disks, everything from one seed.

The harness is a driver like the daemon's, so it also shows how `RaftNode` wants to be driven. Every server has a clock of
its own; a server's work is a handful of events on one queue. `Invariants` looks at every output.
"""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar
from zlib import crc32

import msgspec

from services.oned_lite.raft import (
    Busy,
    Configuration,
    MembershipChange,
    MembershipRefused,
    Message,
    NotLeader,
    Output,
    RaftConfig,
    RaftNode,
    Role,
    decode,
    encode,
)

from .disk import Disk, State
from .invariants import Invariants

ELECTION_TIMEOUT_MS = 100
HEARTBEAT_MS = 20
SMALL_LIMITS = {
    "append_entries_max": 8,
    "append_bytes_max": 512,
    "inflight_max": 3,
    "uncommitted_bytes_max": 4000,
    "snapshot_chunk_bytes": 64,
    "persist_stall_ms": 300,
}
PADDING = b"-" * 300  # makes a snapshot several chunks long

T = TypeVar("T")


@dataclass
class Network:
    """Faults of the links. Chances are per message; `blocked` holds (from, to) pairs."""

    loss: float = 0.0
    duplication: float = 0.0
    delay_max_ms: int = 3
    blocked: set[tuple[int, int]] = field(default_factory=set)


@dataclass
class Server:
    server_id: int
    founding: Configuration
    disk: Disk = field(default_factory=Disk)
    node: RaftNode | None = None  # None while crashed
    state: State = field(default_factory=State)
    life: int = 0
    paused: bool = False
    disk_delay_max_ms: int = 2
    drift: float = 1.0
    inbox: list[Callable[[], None]] = field(default_factory=list)  # what happens to it while it is paused
    due_ms: int = 0
    reads: dict[int, int] = field(default_factory=dict)  # context: what was applied somewhere when it was asked


class Cluster:
    def __init__(self, seed: int, size: int = 3, **limits: int) -> None:
        self.rng = random.Random(seed)
        self.now_ms = 0
        self.network = Network()
        self.invariants = Invariants()
        self.servers: dict[int, Server] = {}
        self.limits = SMALL_LIMITS | limits
        self.answered_reads = 0
        self._closed: set[tuple[int, int]] = set()  # servers and their lives whose connections were seen to close
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._sequence = count()
        founding = Configuration(tuple(range(size)))
        for server_id in range(size):
            self.add_server(server_id, founding)

    # Servers

    def add_server(self, server_id: int, founding: Configuration | None = None) -> None:
        """A server with an empty disk. One that is not a founder knows nobody and waits to be told."""
        if server_id not in self.servers:
            self.servers[server_id] = Server(server_id, founding or Configuration())
        self.start(server_id)

    def start(self, server_id: int) -> None:
        server = self.servers[server_id]
        if server.node is not None:
            return
        config = RaftConfig(
            server_id=server_id,
            election_timeout_ms=ELECTION_TIMEOUT_MS,
            heartbeat_ms=HEARTBEAT_MS,
            **self.limits,
        )
        disk = server.disk
        server.life += 1
        server.due_ms = 0
        server.state = disk.state
        server.node = RaftNode(
            config,
            disk.hard_state,
            disk.base,
            server.founding,
            disk.entries,
            disk.state.index,
            random.Random(self.rng.random()),
            self._clock(server),
        )
        server.node.applied(server.state.index, server.state.value)
        self._settle(server)
        for peer in self.alive():
            if peer is not server:
                self._happen(peer, lambda node: node.peer_connected(server_id))

    def crash(self, server_id: int, noticed: bool = True) -> None:
        """Stop dead. Unfinished writes may or may not be on disk. `noticed`: peers see the connections close, over
        which nothing comes after that."""
        server = self.servers[server_id]
        if server.node is None:
            return
        server.node, server.paused = None, False
        server.inbox.clear()
        server.reads.clear()
        server.disk.crash(self.rng)
        if noticed:
            self._closed.add((server_id, server.life))
            for peer in self.alive():
                self.disconnect(peer.server_id, server_id)

    def disconnect(self, server_id: int, peer: int) -> None:
        server = self.servers[server_id]
        self._later(self.rng.randint(0, 2), server, lambda node: node.peer_disconnected(peer, self._clock(server)))

    def pause(self, server_id: int) -> None:
        self.servers[server_id].paused = True

    def resume(self, server_id: int) -> None:
        server = self.servers[server_id]
        server.paused = False
        waiting, server.inbox = server.inbox, []
        for happened in waiting:
            happened()
        self._happen(server, lambda node: node.tick(self._clock(server)))

    def fail_disk(self, server_id: int) -> None:
        server = self.servers[server_id]
        if server.node is not None:
            server.disk.crash(self.rng)
            server.node.persist_failed(self._clock(server))
            self._settle(server)

    def alive(self) -> list[Server]:
        return [server for server in self.servers.values() if server.node is not None]

    # Requests

    def leader(self) -> RaftNode | None:
        """The leader of the newest term among those who say they are one."""
        leaders = [server.node for server in self.alive() if server.node and server.node.role is Role.LEADER]
        return max(leaders, key=lambda node: node.term, default=None)

    def propose(self, server_id: int, *datas: bytes) -> int | None:
        return self._ask(server_id, lambda node, now_ms: node.propose(datas, now_ms))

    def change(self, server_id: int, change: MembershipChange) -> int | None:
        return self._ask(server_id, lambda node, now_ms: node.change_membership(change, now_ms))

    def transfer(self, server_id: int, target: int | None = None) -> bool | None:
        return self._ask(server_id, lambda node, now_ms: node.transfer_leadership(target, now_ms))

    def read(self, server_id: int) -> None:
        """Ask for a linearizable read. It must cover whatever anybody had applied by now."""
        context = next(self._sequence)
        self.servers[server_id].reads[context] = self.invariants.highest_applied
        self._ask(server_id, lambda node, now_ms: node.read_index(context, now_ms))

    def compact(self, server_id: int, keep: int = 0) -> None:
        """Forget the log but for its last `keep` applied entries, as storage with a retention would."""
        server = self.servers[server_id]
        if server.node is None or server.disk.pending:
            return
        server.disk.checkpoint(server.state)
        index = server.disk.state.index - keep
        if index >= server.node.first_index and server.disk.base_index <= index:
            meta = server.node.snapshot_meta(index)
            server.disk.compact(meta)
            server.node.compact(meta)

    def _ask(self, server_id: int, request: Callable[[RaftNode, int], T]) -> T | None:
        server = self.servers[server_id]
        if server.node is None or server.paused:
            return None
        try:
            return request(server.node, self._clock(server))
        except (Busy, NotLeader, MembershipRefused):
            return None
        finally:
            self._settle(server)

    # Time

    def run(self, duration_ms: int, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass, at most `duration_ms`. Whether `until` became true."""
        end_ms = self.now_ms + duration_ms
        while self._events and self._events[0][0] <= end_ms:
            if until is not None and until():
                return True
            self.now_ms, _, happens = heapq.heappop(self._events)
            happens()
        self.now_ms = end_ms
        return until is not None and until()

    def _clock(self, server: Server) -> int:
        return int(self.now_ms * server.drift)

    def _later(self, delay_ms: int, server: Server, what: Callable[[RaftNode], None]) -> None:
        """Do `what` to the server in a while, if it still lives that life then."""
        life = server.life

        def happens() -> None:
            if server.life == life:
                self._happen(server, what)

        self._push(delay_ms, happens)

    def _happen(self, server: Server, what: Callable[[RaftNode], None]) -> None:
        if server.node is None:
            return
        if server.paused:
            server.inbox.append(lambda: self._happen(server, what))
            return
        what(server.node)
        self._settle(server)

    def _push(self, delay_ms: int, happens: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now_ms + delay_ms, next(self._sequence), happens))

    # A server's driver

    def _settle(self, server: Server) -> None:
        """Carry out what the node wants until it wants nothing, and see to it that its next deadline is met."""
        node = server.node
        if node is None:
            return
        while output := node.take():
            self.invariants.took(node, output, self._disk)
            self._carry_out(server, node, output)
        due_ms = max(int(node.next_deadline_ms / server.drift) + 1, self.now_ms + 1)
        if server.due_ms <= self.now_ms or due_ms < server.due_ms:
            server.due_ms = due_ms
            self._later(due_ms - self.now_ms, server, lambda node: node.tick(self._clock(server)))

    def _disk(self, server_id: int) -> Disk:
        return self.servers[server_id].disk

    def _carry_out(self, server: Server, node: RaftNode, output: Output) -> None:
        for peer, message in output.messages:
            self._send(server.server_id, peer, message)
        if output.needs_persist:
            installed = msgspec.msgpack.decode(output.install.data, type=_Snapshot).state if output.install else None
            server.disk.pending.append((output, installed))
            self._later(self.rng.randint(0, server.disk_delay_max_ms), server, lambda _: self._written(server))
        for entry in output.committed:
            assert entry.index == server.state.index + 1, f"{entry.index} applied after {server.state.index}"
            value = crc32(b"%d %d %d " % (entry.index, entry.term, entry.kind) + entry.data, server.state.value)
            server.state = State(entry.index, value)
            self.invariants.applied(server.server_id, entry.index, value)
            node.applied(entry.index, value)
        for read in output.reads:
            asked_for = server.reads.pop(read.context)
            assert server.state.index >= read.index >= asked_for, f"stale read: {read.index}, {asked_for} was applied"
            self.answered_reads += 1
        for context in output.failed_reads:
            del server.reads[context]
        for peer in output.snapshot_wanted:
            data = msgspec.msgpack.encode(_Snapshot(server.state, PADDING))
            node.send_snapshot(peer, node.snapshot_meta(server.state.index), data, self._clock(server))
        assert not output.diverged, f"{output.diverged}"

    def _written(self, server: Server) -> None:
        node = server.node
        if node is None or node.failed or not server.disk.pending:
            return
        installed = server.disk.pending[0][1]
        ticket = server.disk.complete()
        node.persisted(ticket, self._clock(server))
        if installed is not None:
            server.state = installed
            self.invariants.applied(server.server_id, installed.index, installed.value)
            node.applied(installed.index, installed.value)

    # The network

    def _send(self, sender: int, receiver: int, message: Message) -> None:
        network, data, life = self.network, encode(message), self.servers[sender].life
        if receiver not in self.servers or (sender, receiver) in network.blocked:
            return
        if self.rng.random() < network.loss:
            return
        copies = 2 if self.rng.random() < network.duplication else 1
        for _ in range(copies):
            self._push(self.rng.randint(0, network.delay_max_ms), lambda: self._deliver(sender, life, receiver, data))

    def _deliver(self, sender: int, life: int, receiver: int, data: bytes) -> None:
        server = self.servers[receiver]
        if (sender, life) in self._closed:
            return
        self._happen(server, lambda node: node.receive(sender, decode(data), self._clock(server)))


class _Snapshot(msgspec.Struct, array_like=True):
    state: State
    padding: bytes
