"""Several nodes in one process, joined by links and disks that work at once unless told otherwise."""

from __future__ import annotations

import hashlib
from collections import defaultdict, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.common.xmlrpc import Value, decode_response
from services.oned_lite.api.configuration import default_configuration
from services.oned_lite.model.zone import ZoneServer
from services.oned_lite.node.clock import Moment
from services.oned_lite.node.durable import Loaded
from services.oned_lite.node.effects import Peers, Persist
from services.oned_lite.node.node import Node
from services.oned_lite.node.settings import NodeSettings
from services.oned_lite.raft.types import Entry, HardState, RaftConfig, SnapshotMeta
from services.oned_lite.state import Change

EPOCH_S = 1_800_000_000
ADMIN = "oneadmin:opennebula"
TICK_MS = 10


@dataclass
class Disk:
    """What one server has made durable."""

    hard_state: HardState = field(default_factory=HardState)
    snapshot: SnapshotMeta | None = None
    entries: list[Entry] = field(default_factory=list)
    applied_index: int = 0
    rows: tuple[Change, ...] = ()

    def write(self, persist: Persist) -> None:
        self.hard_state = persist.hard_state or self.hard_state
        if persist.install is not None:
            self.snapshot, self.entries = persist.install.meta, []
            self.applied_index, self.rows = persist.install.meta.index, tuple(persist.install.rows)
        if persist.entries:
            first = persist.entries[0].index
            self.entries = [entry for entry in self.entries if entry.index < first] + list(persist.entries)

    def purge(self, meta: SnapshotMeta) -> None:
        self.snapshot = meta
        self.entries = [entry for entry in self.entries if entry.index > meta.index]

    def loaded(self) -> Loaded:
        return Loaded(self.hard_state, self.snapshot, tuple(self.entries), self.applied_index, self.rows)


class Cluster:
    """`servers` nodes, all started unless told otherwise; time passes only in `run`."""

    def __init__(
        self, servers: int = 3, *, seed: int = 1, retention_entries: int = 20_000, started: bool = True
    ) -> None:
        self.now_ms = 0
        self.seed = seed
        self.events = 0
        self.members = tuple(member(number) for number in range(servers))
        self.joined: set[int] = set()
        self.retention_entries = retention_entries
        self.slow_disks: set[int] = set()
        self.installed = 0
        self.peers: dict[int, Peers] = {}
        self.notices: list[str] = []
        self.disks = [Disk() for _ in range(servers)]
        self.nodes: list[Node | None] = [None] * servers
        self._queued: dict[int, deque[Persist]] = defaultdict(deque)
        self.links: deque[tuple[int, int, bytes]] = deque()
        self.cut: set[tuple[int, int]] = set()
        self.answers: dict[tuple[int, int], Value] = {}
        self._requests = 0
        for number in range(servers if started else 0):
            self.start(number)

    # ------------------------------------------------------------------ life of servers
    def add(self) -> int:
        """Starts one more server, with nothing on its disk, that is to join; its number. The zone does not know it yet."""
        number = len(self.nodes)
        self.disks.append(Disk())
        self.nodes.append(None)
        self.joined.add(number)
        self.start(number)
        return number

    def start(self, number: int) -> None:
        settings = NodeSettings(
            raft=RaftConfig(server_id=number),
            servers=self._founding(number),
            join=number in self.joined,
            scheduler=False,
            log_retention_entries=self.retention_entries,
        )
        conf = default_configuration(datastore_location=Path("/nowhere"), port=2633)
        self.nodes[number] = Node(settings, conf, self.disks[number].loaded(), self.moment())
        for other in self.up():
            if other != number:
                self._node(number).peer_connected(other, self.moment())
                self._node(other).peer_connected(number, self.moment())
        self._drain()

    def _founding(self, number: int) -> tuple[ZoneServer, ...]:
        if number in self.joined:
            return (*self.members, member(number))
        return self.members if len(self.members) > 1 else ()

    # ------------------------------------------------------------------ faults
    def kill(self, number: int) -> None:
        self.nodes[number] = None
        self._queued[number].clear()
        self.links = deque(one for one in self.links if number not in one[:2])
        for other in self.up():
            self._node(other).peer_disconnected(number, self.moment())
        self._drain()

    def isolate(self, number: int) -> None:
        """Drops what it sends and is sent, without its links being closed."""
        for other in range(len(self.nodes)):
            self.cut |= {(number, other), (other, number)}

    def heal(self) -> None:
        self.cut.clear()

    def up(self) -> list[int]:
        return [number for number, node in enumerate(self.nodes) if node is not None]

    # ------------------------------------------------------------------ use
    def send(
        self, number: int, method: str, *arguments: Value, session: str = ADMIN, linearizable: bool = False
    ) -> tuple[int, int]:
        """Hands a request to a node; the answer turns up in `answers` under what this returns."""
        self._requests += 1
        parameters = [session, *arguments]
        self._node(number).request(self._requests, method, parameters, self.moment(), linearizable=linearizable)
        self._drain()
        return number, self._requests

    def call(self, number: int, method: str, *arguments: Value, session: str = ADMIN, within_ms: int = 5000) -> Any:
        """The answer of a request, waited for."""
        key = self.send(number, method, *arguments, session=session)
        self.run(within_ms, until=lambda: key in self.answers)
        return self.answers[key]

    def run(self, ms: int, until: Any = None) -> bool:
        """Lets time pass; whether `until` came true (or there was none)."""
        end = self.now_ms + ms
        while self.now_ms < end:
            if until is not None and until():
                return True
            self.now_ms += TICK_MS
            for number in self.up():
                self._node(number).tick(self.moment())
                self._node(number).go_on(self.moment())
            self._drain()
        return until is None or bool(until())

    def leader(self) -> int | None:
        """The server that leads and is ready."""
        leaders = [(self._node(n).status().term, n) for n in self.up() if self._node(n).status().role == "leader"]
        return max(leaders)[1] if leaders else None

    def elect(self) -> int:
        assert self.run(10_000, until=lambda: self.leader() is not None)
        leader = self.leader()
        assert leader is not None
        return leader

    def moment(self) -> Moment:
        self.events += 1
        seed = hashlib.blake2b(f"{self.seed}/{self.events}".encode(), digest_size=16).digest()
        return Moment(self.now_ms, EPOCH_S + self.now_ms // 1000, seed)

    def _node(self, number: int) -> Node:
        node = self.nodes[number]
        assert node is not None
        return node

    def _drain(self) -> None:
        """Carries out effects and delivers frames until nothing moves."""
        moving = True
        while moving:
            moving = False
            for number in self.up():
                moving = self._carry_out(number) or moving
            while self.links:
                moving = True
                sender, receiver, frame = self.links.popleft()
                if receiver in self.up() and (sender, receiver) not in self.cut:
                    self._node(receiver).frame(sender, frame, self.moment())

    def _carry_out(self, number: int) -> bool:
        effects = self._node(number).take()
        assert not effects.fatal, effects.fatal
        assert not effects.defects, effects.defects[0]
        for peer, frame in effects.frames:
            self.links.append((number, peer, frame))
        for reply in effects.replies:
            self.answers[number, reply.request_id] = decode_response(reply.body)
        self._queued[number].extend(effects.persist)
        self._write(number)
        self.peers[number] = effects.peers or self.peers.get(number, Peers(()))
        self.notices += effects.notices
        if effects.applied:
            self._write_tables(number)
        if effects.purge is not None:
            self.disks[number].purge(effects.purge)
        return bool(effects.frames or effects.replies or effects.persist or effects.applied)

    def _write(self, number: int) -> None:
        """What waits becomes durable, unless the disk is one of the `slow_disks`."""
        queued = self._queued[number]
        while queued and number not in self.slow_disks:
            persist = queued.popleft()
            self.installed += persist.install is not None
            self.disks[number].write(persist)
            self._node(number).persisted(persist.ticket, self.moment())

    def unwritten(self, number: int) -> bool:
        """Whether a snapshot waits for the disk."""
        return any(persist.install is not None for persist in self._queued[number])

    def _write_tables(self, number: int) -> None:
        """The tables are never behind here."""
        store = self._node(number).store
        self.disks[number].applied_index = store.applied_index
        self.disks[number].rows = tuple(store.changes())
        self._node(number).tables_written(store.applied_index, self.moment())


def member(number: int) -> ZoneServer:
    return ZoneServer(number, f"frontend{number + 1}", f"http://127.0.20.{21 + number}:2633/RPC2")
