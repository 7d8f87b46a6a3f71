"""Machines, links, disks and drivers of one simulated zone."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from services.common.xmlrpc import Value, decode_response
from services.oned_lite.api.configuration import default_configuration
from services.oned_lite.lifecycle.work import Work
from services.oned_lite.model.zone import ZoneServer
from services.oned_lite.node.clock import Moment
from services.oned_lite.node.durable import Loaded
from services.oned_lite.node.effects import Effects
from services.oned_lite.node.membership import zone_servers
from services.oned_lite.node.node import Node
from services.oned_lite.node.settings import NodeSettings
from services.oned_lite.raft.types import RaftConfig

from .coverage import Coverage
from .disk import Disk
from .drivers import result_of
from .events import Timeline
from .invariants import Invariants, Violation
from .machine import Machine
from .network import Network

TICK_US = 20_000
ELECTION_TIMEOUT_MS = 300
PERSIST_STALL_MS = 500
RECOVERY_US = 200_000
"""After a failed write: when the database is read again."""
UNKNOWN: Value = [False, "Cannot tell the outcome of the request: this server's database had failed", 8192, -1, -1]
Answered = Callable[[Value], None]
_CONF = default_configuration(datastore_location=Path("/nowhere"), port=2633)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A client's call under way."""

    answered: Answered
    since_us: int


class World:
    def __init__(self, seed: int, servers: int) -> None:
        self.seed = seed
        self.timeline = Timeline()
        self.coverage = Coverage()
        self.trace: list[str] = []
        self.steps = 0
        self._requests = 0
        self._waiting: dict[tuple[int, int, int], _Waiting] = {}
        self._disk_rng, self._node_rng, self._client_rng = self.rng("disks"), self.rng("nodes"), self.rng("calls")
        founders = tuple(_zone_server(number) for number in range(servers))
        self.machines = {number: Machine(number, founders) for number in range(servers)}
        self.invariants = Invariants(self.machines, self.coverage)
        self.network = Network(
            self.timeline,
            self.rng("network"),
            self.machines,
            self.coverage,
            self.later,
            self._link_changed,
            self._frame_arrived,
        )
        for machine in self.machines.values():
            self.start(machine)

    def rng(self, purpose: str) -> random.Random:
        """Randomness of its own for each purpose, so that what is left out of a run changes little else."""
        return random.Random(f"{self.seed}/{purpose}")

    def note(self, text: str) -> None:
        self.trace.append(f"{self.timeline.now_us / 1e6:9.3f} s  {text}")

    # ------------------------------------------------------------------ the zone as it is
    def most_advanced(self) -> Node | None:
        """Of the nodes that run, the one that has applied most."""
        nodes = [machine.node for machine in self.machines.values() if machine.node is not None]
        return max(nodes, key=lambda node: (node.store.applied_index, node.raft.term), default=None)

    def zone(self) -> dict[int, ZoneServer]:
        """As last committed, as far as any running server knows."""
        node = self.most_advanced()
        return {} if node is None else zone_servers(node.store)

    def voters(self) -> tuple[int, ...]:
        """Of the newest configuration that any running server knows to be committed."""
        node = self.most_advanced()
        return () if node is None else node.raft.configuration.voters

    # ------------------------------------------------------------------ life of machines
    def add_machine(self, number: int) -> Machine:
        """A new one with an empty disk, told of the zone as it is and of itself."""
        known = tuple(server for server in self.zone().values() if server.server_id != number)
        self.machines[number] = Machine(number, (*known, _zone_server(number)), joins=True)
        return self.machines[number]

    def start(self, machine: Machine) -> None:
        self.note(f"start {machine.number}")
        self.coverage.hit("starts")
        machine.life += 1
        machine.paused = machine.stopping = machine.retired = False
        self._new_node(machine, machine.disk.loaded())
        self._tick_later(machine)
        self.settle(machine)

    def _new_node(self, machine: Machine, loaded: Loaded) -> None:
        settings = NodeSettings(
            raft=RaftConfig(
                server_id=machine.number,
                election_timeout_ms=ELECTION_TIMEOUT_MS,
                heartbeat_ms=50,
                append_entries_max=8,
                snapshot_chunk_bytes=4096,
                persist_stall_ms=PERSIST_STALL_MS,
            ),
            servers=machine.settings,
            join=machine.joins,
            hold_ms=800,
            forward_timeout_ms=1500,
            log_retention_entries=15,
        )
        machine.node = Node(settings, _CONF, loaded, self.moment(machine))
        self.invariants.started(machine)

    def crash(self, machine: Machine, *, noticed: bool = True) -> None:
        """Its process is gone; a power loss is not `noticed` by the others."""
        self.note(f"crash {machine.number}" if noticed else f"power loss of {machine.number}")
        self.coverage.hit("crashes" if noticed else "power losses")
        self._end(machine, noticed=noticed)

    def _end(self, machine: Machine, *, noticed: bool) -> None:
        machine.node = None
        machine.paused = machine.stopping = machine.tables_due = False
        machine.works.clear()
        machine.inbox.clear()
        machine.connected.clear()
        machine.disk.give_up(self._disk_rng)
        machine.disk.unwritten.clear()
        for key in [key for key in self._waiting if key[0] == machine.number]:
            del self._waiting[key]
        self.network.lost(machine, noticed=noticed)

    def wipe(self, machine: Machine) -> None:
        """Its disk is lost: it will start with an empty one."""
        machine.disk = Disk()

    def stop(self, machine: Machine) -> None:
        """An orderly end, as a service manager asks for."""
        assert machine.node is not None
        self.note(f"stop {machine.number}")
        self.coverage.hit("clean stops")
        machine.stopping = True
        machine.node.stop(self.moment(machine))
        self.settle(machine)

    def pause(self, machine: Machine) -> None:
        self.note(f"pause {machine.number}")
        self.coverage.hit("pauses")
        machine.paused = True

    def resume(self, machine: Machine) -> None:
        """Everything that came meanwhile is there at once, in its order."""
        if not machine.paused:
            return
        self.note(f"resume {machine.number}")
        machine.paused = False
        waiting, machine.inbox = machine.inbox, []
        for action in waiting:
            action()

    def moment(self, machine: Machine) -> Moment:
        now_us, clock = self.timeline.now_us, machine.clock
        return Moment(clock.monotonic_ms(now_us), clock.epoch_s(now_us), self._node_rng.randbytes(16))

    # ------------------------------------------------------------------ clients
    def request(
        self, number: int, method: str, arguments: list[Value], answered: Answered, *, linearizable: bool
    ) -> bool:
        """Sends a call to a server; False where nothing listens. The answer may never come."""
        machine = self.machines[number]
        if machine.node is None:
            return False
        self._requests += 1
        request_id = self._requests
        self._waiting[number, machine.life, request_id] = _Waiting(answered, self.timeline.now_us)
        self.later(
            machine,
            self._client_rng.randint(100, 2_000),
            lambda node: node.request(request_id, method, arguments, self.moment(machine), linearizable=linearizable),
        )
        return True

    def _reply(self, machine: Machine, request_id: int, value: Value) -> None:
        waiting = self._waiting.pop((machine.number, machine.life, request_id), None)
        if waiting is not None:
            self.timeline.after(self._client_rng.randint(100, 2_000), lambda: waiting.answered(value))

    def unanswered(self, before_us: int) -> list[int]:
        """Servers that still run and have never answered something they were asked before that."""
        return sorted({key[0] for key, waiting in self._waiting.items() if waiting.since_us < before_us})

    # ------------------------------------------------------------------ events of a machine
    def later(self, machine: Machine, delay_us: int, action: Callable[[Node], None]) -> None:
        """Does something to the machine's node, if it still lives the same life then."""
        life = machine.life

        def run() -> None:
            if machine.life != life or machine.node is None:
                return
            if machine.paused:
                machine.inbox.append(run)
                return
            action(machine.node)
            self.settle(machine)

        self.timeline.after(delay_us, run)

    def _tick_later(self, machine: Machine) -> None:
        def tick(node: Node) -> None:
            node.tick(self.moment(machine))
            if machine.stopping and node.stopped(machine.clock.monotonic_ms(self.timeline.now_us)):
                self.settle(machine)
                self._end(machine, noticed=True)
            else:
                self._tick_later(machine)

        self.later(machine, machine.clock.true_us(TICK_US), tick)

    def _link_changed(self, node: Node, machine: Machine, peer: int, *, up: bool) -> None:
        if up:
            machine.connected.add(peer)
            node.peer_connected(peer, self.moment(machine))
        elif peer in machine.connected:
            machine.connected.discard(peer)
            node.peer_disconnected(peer, self.moment(machine))

    def _frame_arrived(self, node: Node, machine: Machine, sender: int, data: bytes) -> None:
        node.frame(sender, data, self.moment(machine))

    # ------------------------------------------------------------------ carrying out effects
    def settle(self, machine: Machine) -> None:
        """Does what the node asks for, then looks whether all is as it must be."""
        node = machine.node
        if node is None:
            return
        effects = node.take()
        if effects.fatal:
            raise Violation(f"server {machine.number} stopped itself: {effects.fatal}")
        if effects.defects:
            raise Violation(effects.defects[0])
        self.steps += 1
        for role in effects.roles:
            self.note(f"server {machine.number} is {role.role} in term {role.term}, leader {role.leader_id}")
        for notice in effects.notices:
            self.note(f"server {machine.number}: {notice}")
            self.coverage.notice(notice)
        self.invariants.stepped(machine, node, effects)
        if effects.peers is not None:
            machine.peers = effects.peers
            self.network.refresh()
        for peer, data in effects.frames:
            self.network.send(machine.number, peer, data)
        self._write(machine, node, effects)
        self._run_works(machine, effects)
        for reply in effects.replies:
            self._reply(machine, reply.request_id, decode_response(reply.body))

    def _write(self, machine: Machine, node: Node, effects: Effects) -> None:
        disk = machine.disk
        if effects.persist and not node.failed:
            disk.queued.extend(effects.persist)
            self._commit(machine, node)
        disk.unwritten.extend(effects.applied)
        if effects.purge is not None:
            self.coverage.hit("log purges")
            disk.purge(effects.purge)
        if effects.applied:
            self._write_tables_later(machine)

    def _commit(self, machine: Machine, node: Node) -> None:
        """One commit at a time; what is asked for meanwhile goes into the next one."""
        disk = machine.disk
        if disk.committing or not disk.queued:
            return
        disk.begin_commit()
        delay_us = self._disk_rng.randint(200, 400_000 if disk.slow else 3_000)

        def end(current: Node) -> None:
            if current is not node or machine.disk is not disk or not disk.committing:
                return
            if disk.stalled:
                self.later(machine, 20_000, end)
            elif disk.full or disk.failing:
                self._commit_failed(machine, node)
            else:
                self.coverage.hit("commits")
                installs = sum(one.install is not None for one in list(disk.queued)[: disk.committing])
                self.coverage.hit("snapshots installed", installs)
                node.persisted(disk.end_commit(), self.moment(machine))
                self._commit(machine, node)

        self.later(machine, delay_us, end)

    def _commit_failed(self, machine: Machine, node: Node) -> None:
        """As the daemon does: the node stays for its readers, and another one takes over from what is on disk."""
        disk = machine.disk
        self.note(f"disk of {machine.number} {'is full' if disk.full else 'fails'}: a write is lost, or not")
        self.coverage.hit("commits refused" if disk.full else "commits failed")
        disk.failing = False
        disk.give_up(self._disk_rng)
        node.persist_failed(self.moment(machine))
        self.later(machine, RECOVERY_US, lambda current: self._recover(machine) if current is node else None)

    def _recover(self, machine: Machine) -> None:
        old, loaded = machine.node, machine.disk.loaded()
        assert old is not None
        self.coverage.hit("recovered in place")
        self.note(f"server {machine.number} reads its database again")
        for key in [key for key in self._waiting if key[:2] == (machine.number, machine.life)]:
            self._reply(machine, key[2], UNKNOWN)
        if loaded.applied_index <= old.store.applied_index <= loaded.last_index:
            loaded = replace(loaded, applied_index=old.store.applied_index, rows=tuple(old.store.changes()))
        else:
            machine.disk.unwritten.clear()
        self._new_node(machine, loaded)
        assert machine.node is not None
        for peer in sorted(machine.connected):
            machine.node.peer_connected(peer, self.moment(machine))

    def _write_tables_later(self, machine: Machine) -> None:
        if not machine.tables_due:
            machine.tables_due = True
            self.later(machine, self._disk_rng.randint(1_000, 200_000), lambda now: self._write_tables(machine, now))

    def _write_tables(self, machine: Machine, node: Node) -> None:
        machine.tables_due = False
        if not machine.disk.full and not machine.disk.stalled:
            written = machine.disk.write_tables(self._disk_rng.randint(1, 50))
            node.tables_written(written, self.moment(machine))
        if machine.disk.unwritten:
            self._write_tables_later(machine)

    def _run_works(self, machine: Machine, effects: Effects) -> None:
        for key in effects.stop:
            machine.works.discard(key)
        for work in effects.start:
            machine.works.add(work.key)
            delay_us = int(work.delay_s * 1e6) + self._node_rng.randint(1_000, 300_000)
            self.later(machine, delay_us, lambda node, w=work: self._finish_work(machine, node, w))  # type: ignore[misc]

    def _finish_work(self, machine: Machine, node: Node, work: Work) -> None:
        if work.key in machine.works:
            machine.works.discard(work.key)
            node.work_finished(result_of(work, ok=self._node_rng.random() < 0.9), self.moment(machine))


def _zone_server(number: int) -> ZoneServer:
    return ZoneServer(number, f"frontend{number + 1}", f"http://127.0.20.{21 + number}:2633/RPC2")
