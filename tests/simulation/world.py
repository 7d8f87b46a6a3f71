"""Servers, links, disks and drivers of one simulated cluster."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from services.common.xmlrpc import Value, decode_response
from services.oned_lite.api.configuration import default_configuration
from services.oned_lite.lifecycle.work import Work, WorkKey, WorkResult
from services.oned_lite.model.zone import ZoneServer
from services.oned_lite.node import frames
from services.oned_lite.node.clock import Moment
from services.oned_lite.node.effects import Effects
from services.oned_lite.node.node import Node
from services.oned_lite.node.settings import NodeSettings
from services.oned_lite.raft.types import RaftConfig

from .disk import Disk
from .events import Timeline
from .invariants import Invariants, Violation

EPOCH_S = 1_800_000_000
TICK_US = 15_000


@dataclass
class Weather:
    """How bad things are now. Probabilities of a frame; delays in microseconds."""

    loss: float = 0.0
    duplicates: float = 0.0
    delay_us_max: int = 2_000
    cut: set[tuple[int, int]] = field(default_factory=set)


@dataclass
class Server:
    """One machine: its disk survives crashes, its node does not."""

    number: int
    disk: Disk
    node: Node | None = None
    birth: int = 0
    paused: bool = False
    clock_rate: float = 1.0
    clock_ahead_s: int = 0
    works: set[WorkKey] = field(default_factory=set)


Answered = Callable[[Value], None]


class World:
    def __init__(self, seed: int, servers: int) -> None:
        self.rng = random.Random(seed)
        self.timeline = Timeline()
        self.weather = Weather()
        self.invariants = Invariants()
        self.trace: list[str] = []
        self.steps = 0
        self._seeds = 0
        self._requests = 0
        self._waiting: dict[tuple[int, int, int], Answered] = {}
        self.members = tuple(
            ZoneServer(number, f"frontend{number + 1}", f"http://127.0.20.{21 + number}:2633/RPC2")
            for number in range(servers)
        )
        self.servers = [Server(number, Disk()) for number in range(servers)]
        for server in self.servers:
            self.start(server)

    # ------------------------------------------------------------------ life of servers
    def start(self, server: Server) -> None:
        self.note(f"start {server.number}")
        server.birth += 1
        server.paused = False
        settings = NodeSettings(
            raft=RaftConfig(
                server_id=server.number, election_timeout_ms=300, heartbeat_ms=50, snapshot_chunk_bytes=2048
            ),
            servers=self.members,
            hold_ms=800,
            forward_timeout_ms=1500,
            log_retention_entries=30,
        )
        conf = default_configuration(datastore_location=Path("/nowhere"), port=2633)
        server.node = Node(settings, conf, server.disk.loaded(), self.moment(server))
        for other in self.servers:
            if other.node is not None and other is not server:
                server.node.peer_connected(other.number, self.moment(server))
                other.node.peer_connected(server.number, self.moment(other))
                self.settle(other)
        self.settle(server)
        self._tick_later(server, server.birth)

    def crash(self, server: Server) -> None:
        self.note(f"crash {server.number}")
        server.node = None
        server.works.clear()
        server.disk.crash(self.rng)
        for key in [key for key in self._waiting if key[0] == server.number]:
            del self._waiting[key]
        for other in self.servers:
            if other.node is not None and self.rng.random() < 0.8:
                self._later(other, self.delay_us(), lambda node, o=other: self._link_closed(node, o, server.number))

    def _link_closed(self, node: Node, server: Server, peer: int) -> None:
        node.peer_disconnected(peer, self.moment(server))

    def moment(self, server: Server) -> Moment:
        self._seeds += 1
        seed = hashlib.blake2b(f"{self.rng.random()}/{self._seeds}".encode(), digest_size=16).digest()
        ms = int(self.timeline.now_us * server.clock_rate / 1000)
        return Moment(ms, EPOCH_S + server.clock_ahead_s + self.timeline.now_us // 1_000_000, seed)

    def note(self, text: str) -> None:
        self.trace.append(f"{self.timeline.now_us / 1e6:9.3f} s  {text}")

    def delay_us(self) -> int:
        return self.rng.randint(100, max(200, self.weather.delay_us_max))

    # ------------------------------------------------------------------ clients
    def request(
        self, number: int, method: str, arguments: list[Value], answered: Answered, *, linearizable: bool
    ) -> bool:
        """Sends a call to a server; False where nothing listens. The answer may never come."""
        server = self.servers[number]
        if server.node is None:
            return False
        self._requests += 1
        request_id = self._requests
        self._waiting[number, server.birth, request_id] = answered
        self._later(
            server,
            self.delay_us(),
            lambda node: node.request(request_id, method, arguments, self.moment(server), linearizable=linearizable),
        )
        return True

    # ------------------------------------------------------------------ carrying out effects
    def settle(self, server: Server) -> None:
        """Does what the node asks for, then looks whether all is as it must be."""
        node = server.node
        if node is None:
            return
        effects = node.take()
        if effects.fatal:
            raise Violation(f"server {server.number} stopped itself: {effects.fatal}")
        if effects.defects:
            raise Violation(effects.defects[0])
        self.steps += 1
        for role in effects.roles:
            self.note(f"server {server.number} is {role.role} in term {role.term}, leader {role.leader_id}")
            self.invariants.election_safety(server.number, role)
        if effects.applied:
            self.invariants.state_machine_safety(effects.applied)
            self.invariants.equal_states(server.number, node.status())
        self._send_frames(server, effects)
        self._write(server, effects)
        self._run_works(server, effects)
        for reply in effects.replies:
            answered = self._waiting.pop((server.number, server.birth, reply.request_id), None)
            if answered is not None:
                value = decode_response(reply.body)
                self.timeline.after(self.delay_us(), lambda a=answered, v=value: a(v))

    def _send_frames(self, server: Server, effects: Effects) -> None:
        for peer, data in effects.frames:
            copies = 1
            if isinstance(frames.decode(data), frames.Consensus) and self.rng.random() < self.weather.duplicates:
                copies = 2
            for _ in range(copies):
                if self.rng.random() >= self.weather.loss:
                    self._deliver(server.number, peer, data)

    def _deliver(self, sender: int, receiver: int, data: bytes) -> None:
        target = self.servers[receiver]

        def arrive(node: Node) -> None:
            if (sender, receiver) not in self.weather.cut:
                node.frame(sender, data, self.moment(target))

        self._later(target, self.delay_us(), arrive)

    def _write(self, server: Server, effects: Effects) -> None:
        disk = server.disk
        for persist in effects.persist:
            self.invariants.log_matching(persist.entries)
            disk.queued.append(persist)
            self._persist_later(server)
        disk.unwritten.extend(effects.applied)
        if effects.purge is not None:
            disk.purge(effects.purge)
        if effects.applied:
            self._later(server, self.rng.randint(1_000, 200_000), lambda node: self._write_tables(server, node))

    def _persist_later(self, server: Server) -> None:
        delay_us = self.rng.randint(200, 400_000 if server.disk.slow else 4_000)

        def done(node: Node) -> None:
            if not server.disk.queued:
                return
            if server.disk.full:
                self.note(f"disk of {server.number} refuses a write")
                server.disk.queued.clear()
                node.persist_failed(self.moment(server))
                return
            node.persisted(server.disk.finish().ticket, self.moment(server))

        self._later(server, delay_us, done)

    def _write_tables(self, server: Server, node: Node) -> None:
        if not server.disk.full:
            node.tables_written(server.disk.write_tables(self.rng.randint(1, 50)), self.moment(server))

    def _run_works(self, server: Server, effects: Effects) -> None:
        for key in effects.stop:
            server.works.discard(key)
        for work in effects.start:
            server.works.add(work.key)
            delay_us = int(work.delay_s * 1e6) + self.rng.randint(1_000, 300_000)
            self._later(server, delay_us, lambda node, w=work: self._finish_work(server, node, w))

    def _finish_work(self, server: Server, node: Node, work: Work) -> None:
        if work.key in server.works:
            server.works.discard(work.key)
            ok = self.rng.random() < 0.9
            node.work_finished(WorkResult(key=work.key, ok=ok, message="" if ok else "simulated"), self.moment(server))

    def _later(self, server: Server, delay_us: int, action: Callable[[Node], None]) -> None:
        """Does something to the node as it is now: not to one that was started after it, and not while it is paused."""
        birth = server.birth

        def run() -> None:
            if server.birth != birth or server.node is None:
                return
            if server.paused:
                self.timeline.after(20_000, run)
                return
            action(server.node)
            self.settle(server)

        self.timeline.after(delay_us, run)

    def _tick_later(self, server: Server, birth: int) -> None:
        def tick(node: Node) -> None:
            node.tick(self.moment(server))
            self._tick_later(server, birth)

        self._later(server, TICK_US, tick)
