"""The loop that owns the node: gives it events one by one and carries out what it asks for.

A database that fails takes this server's vote and leadership away, not its readers: the node stays and answers from
memory, and as soon as the database can be read again a new node takes its place, from what really is on disk.
"""

from __future__ import annotations

import asyncio
import gc
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

import msgspec

from services.common import logs
from services.common.settings import Address
from services.common.xmlrpc import I8, FaultCode, Value, encode_fault, encode_response
from services.oned_lite.drivers.port import Driver
from services.oned_lite.lifecycle.event_stream import Event as StreamEvent
from services.oned_lite.lifecycle.work import WorkResult
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.errors import ErrorCode
from services.oned_lite.model.zone import ZoneServer
from services.oned_lite.node.clock import Moment
from services.oned_lite.node.durable import Loaded
from services.oned_lite.node.effects import Effects, Peers, RoleChanged
from services.oned_lite.node.node import Node, NodeStatus
from services.oned_lite.node.settings import NodeSettings
from services.oned_lite.raft.types import BrokenInvariant
from services.oned_lite.state import Store
from services.oned_lite.storage.port import Storage, StorageError

from .calls import Answered
from .clock import Clock, now_ms
from .lateness import Lateness
from .log_writer import LogWriter
from .table_writer import TableWriter
from .work_runner import WorkRunner

log = logs.get("oned")
TICK_S = 0.02
EVENTS_PER_TURN = 256
"""Events after which effects are carried out and others get their turn."""
WAITING_FRAMES_MAX = 1024
"""Unread frames at which peers are no longer read from."""
RECOVERY_PAUSE_S = 1.0
TABLES_GRACE_S = 1.0
CLOSE_S = 1.5

Event = Callable[[Node, Moment], None]
T = TypeVar("T")


class Fatal(Exception):
    """The node found its own state to be wrong. The process must end."""


class Subscribers(Protocol):
    """Who follows the event stream."""

    def publish(self, event: StreamEvent) -> None:
        """Tells them, without waiting for anybody."""
        ...


class RoleWatcher(Protocol):
    """Who acts on this server's role."""

    def role_changed(self, change: RoleChanged) -> None: ...


class Links(Protocol):
    """The links to the other servers."""

    def send(self, peer: int, data: bytes) -> None:
        """Sends, or drops where there is no link."""
        ...

    def set_peers(self, addresses: Mapping[int, Address], *, quiet: bool) -> None: ...


@dataclass(slots=True)
class Counters:
    """What the process has done so far."""

    calls: dict[str, int] = field(default_factory=dict)
    replies: int = 0
    turns: int = 0


@dataclass(frozen=True, slots=True)
class _Client:
    method: str
    answered: Answered


class Engine:
    """`run` is the one task that touches the node."""

    def __init__(
        self, settings: NodeSettings, conf: Configuration, storage: Storage, drivers: Driver, clock: Clock
    ) -> None:
        self._settings = settings
        self._conf = conf
        self._storage = storage
        self._clients: dict[int, _Client] = {}
        self._last_request = 0
        self._events: deque[Event] = deque()
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._progress = asyncio.Event()
        self._connected: set[int] = set()
        self._clock = clock
        self._works = WorkRunner(drivers, self._work_finished, clock.sleep)
        self._writers: list[asyncio.Task[None]] = []
        self._node: Node | None = None
        self._log_writer: LogWriter | None = None
        self._table_writer: TableWriter | None = None
        self._stopping = False
        self._going_on = False
        self.subscribers: Subscribers | None = None
        self.role_watcher: RoleWatcher | None = None
        self._links: Links | None = None
        self._peers = Peers(())
        self.role: RoleChanged | None = None
        self.counters = Counters()
        self.lateness = Lateness(TICK_S)
        self.storage_problem = ""

    # ------------------------------------------------------------------ the outside
    def call(self, method: str, arguments: list[Value], answered: Answered) -> Callable[[], None]:
        """`calls.Backend`."""
        self._last_request += 1
        number = self._last_request
        self._clients[number] = _Client(method, answered)
        self.post(lambda node, now: self._request(node, number, method, arguments, now))
        return partial(self._drop, number)

    def peer_connected(self, peer: int) -> None:
        self._connected.add(peer)
        self.post(lambda node, now: node.peer_connected(peer, now))

    def peer_disconnected(self, peer: int) -> None:
        self._connected.discard(peer)
        self.post(lambda node, now: node.peer_disconnected(peer, now))

    async def frame_received(self, peer: int, data: bytes) -> None:
        while len(self._events) >= WAITING_FRAMES_MAX:
            self._room.clear()
            await self._room.wait()
        self.post(lambda node, now: self._frame(node, peer, data, now))

    def link(self, links: Links) -> None:
        """From now on there are links to the others."""
        self._links = links
        self._linked()

    def _linked(self) -> None:
        if self._links is not None:
            self._links.set_peers(dict(self._peers.addresses), quiet=self._peers.quiet)

    @property
    def servers(self) -> Mapping[int, ZoneServer]:
        """Those of the zone by id."""
        return self._the_node.servers

    @property
    def term(self) -> int:
        return self._the_node.status().term

    @property
    def time_s(self) -> int:
        """Of the wall clock that requests see, in seconds since 1970."""
        return self._clock.moment().epoch_s

    def status(self) -> NodeStatus | None:
        """None before the database is read."""
        return None if self._node is None else self._node.status()

    def backlog(self) -> dict[str, int]:
        """What waits to be done, for metrics."""
        return {
            "events": len(self._events),
            "requests": len(self._clients),
            "log_writes": self._log_writer.backlog if self._log_writer else 0,
            "table_rows": self._table_writer.backlog if self._table_writer else 0,
            "driver_actions": len(self._works),
        }

    def commits(self) -> tuple[int, int]:
        """Durable commits of the log and entries in them, since the database was last opened."""
        return (self._log_writer.commits, self._log_writer.entries) if self._log_writer else (0, 0)

    async def load(self) -> None:
        """Reads the database. Raises StorageError.

        Hundreds of thousands of objects that will stay come to be here, and none that could be collected: looking for
        those again and again would take most of the time, and later a long pause each time.
        """
        gc.disable()
        try:
            self._begin(await self._storage.load())
        finally:
            gc.enable()
        gc.freeze()

    async def caught_up(self, within_s: float) -> None:
        """Waits until everything that was in the log at the start is applied, so that reads are not older than what this
        server has acknowledged before; not for ever, since without the others nobody knows what of it is committed."""
        last_index = self._the_node.status().last_index
        if not await self.until(lambda status: status.serving and status.applied_index >= last_index, within_s):
            log.warning("serving what is known so far", reason=self._the_node.status().reason or "no leader yet")

    async def until(self, condition: Callable[[NodeStatus], bool], within_s: float) -> bool:
        """Waits for the node to be in that condition; whether it came to it in time."""
        try:
            async with asyncio.timeout(within_s):
                while not condition(self._the_node.status()):
                    self._progress.clear()
                    await self._progress.wait()
        except TimeoutError:
            return False
        return True

    async def ask(self, question: Callable[[Node, Moment], T]) -> T:
        """Has something done with the node as an event of its own, and gives its result."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def event(node: Node, now: Moment) -> None:
            result = question(node, now)
            if not answer.done():
                answer.set_result(result)

        self.post(event)
        return await answer

    def post(self, event: Event) -> None:
        """Something for the node, in the order of arrival."""
        self._events.append(event)
        self._wake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set and the node has handed over what it leads. Raises Fatal."""
        ticking = asyncio.create_task(self._tick())
        stopping = asyncio.create_task(self._stop_on(stop))
        try:
            while not (self._stopping and self._the_node.stopped(now_ms())):
                await self._wake.wait()
                self._wake.clear()
                self._turn()
                if self._events:
                    self._wake.set()
                    await asyncio.sleep(0)
        finally:
            ticking.cancel()
            stopping.cancel()

    async def close(self, *, trusted: bool = True) -> None:
        """Ends everything; the tables may catch up for a moment, where what is in memory can be `trusted`."""
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._works.close()
                if self._table_writer is not None and self._log_writer is not None and trusted:
                    self._table_writer.finish()
                    await asyncio.wait(self._writers[1:], timeout=TABLES_GRACE_S)
                await _cancelled(self._writers)
                await self._storage.close()
        except TimeoutError:
            log.warning("the database or a driver does not come to an end, leaving it behind")

    # ------------------------------------------------------------------ turns
    @property
    def _the_node(self) -> Node:
        assert self._node is not None, "load() comes first"
        return self._node

    def _turn(self) -> None:
        """Some events, then their effects together: many writes share one commit."""
        node = self._the_node
        self.counters.turns += 1
        for _ in range(min(len(self._events), EVENTS_PER_TURN)):
            event = self._events.popleft()
            event(node, self._clock.moment())
            if node is not self._node:
                break  # replaced; what is left is for the new one
        if len(self._events) < WAITING_FRAMES_MAX:
            self._room.set()
        self._carry_out(self._the_node.take())
        self._progress.set()

    async def _tick(self) -> None:
        self.lateness = Lateness(TICK_S)
        while True:
            self.post(lambda node, now: node.tick(now))
            await asyncio.sleep(TICK_S)
            self.lateness.ticked()

    async def _stop_on(self, stop: asyncio.Event) -> None:
        await stop.wait()

        def begin(node: Node, now: Moment) -> None:
            self._stopping = True
            node.stop(now)

        self.post(begin)

    def _carry_out(self, effects: Effects) -> None:
        for notice in effects.notices:
            log.warning(notice)
        if effects.peers is not None:
            self._peers = effects.peers
            self._linked()
        if self._links is not None:
            for peer, data in effects.frames:
                self._links.send(peer, data)
        if self._log_writer is not None:
            for write in effects.persist:
                self._log_writer.add(write)
        if self._table_writer is not None:
            for applied in effects.applied:
                self._table_writer.add(applied)
            if effects.purge is not None:
                self._table_writer.purge(effects.purge)
        for reply in effects.replies:
            self._reply(reply.request_id, reply.body)
        for key in effects.stop:
            self._works.stop(key)
        for work in effects.start:
            self._works.start(work)
        for role in effects.roles:
            self._role_changed(role)
        if self.subscribers is not None:
            for told in effects.events:
                self.subscribers.publish(told)
        for trace in effects.defects:
            log.error("a mistake in a method, life cycle or hook: what it did is undone", trace=trace)
        if effects.unfinished and not self._going_on:
            self._going_on = True
            self.post(self._go_on)
        if effects.fatal:
            raise Fatal(effects.fatal)

    # ------------------------------------------------------------------ events
    def _go_on(self, node: Node, now: Moment) -> None:
        """One of these is under way at most, however many long answers there are: each is a few milliseconds of work."""
        self._going_on = False
        node.go_on(now)

    def _request(self, node: Node, number: int, method: str, arguments: list[Value], now: Moment) -> None:
        if number not in self._clients:
            return
        self.counters.calls[method] = self.counters.calls.get(method, 0) + 1
        try:
            node.request(number, method, arguments, now)
        except BrokenInvariant as broken:
            raise Fatal(str(broken)) from broken
        except Exception:
            log.exception("a method failed", method=method)
            self._reply(number, encode_fault(FaultCode.INTERNAL, f"Internal error in {method}"))

    def _frame(self, node: Node, peer: int, data: bytes, now: Moment) -> None:
        try:
            node.frame(peer, data, now)
        except msgspec.DecodeError as error:
            log.warning("a peer speaks another language", peer=peer, reason=str(error))
        except BrokenInvariant as broken:
            raise Fatal(str(broken)) from broken
        except Exception:
            log.exception("a peer's message failed", peer=peer)

    def _drop(self, number: int) -> None:
        if self._clients.pop(number, None) is not None:
            self.post(lambda node, now: node.drop_request(number))

    def _reply(self, number: int, body: bytes) -> None:
        client = self._clients.pop(number, None)
        if client is not None:
            self.counters.replies += 1
            client.answered(body)

    def _work_finished(self, result: WorkResult) -> None:
        self.post(lambda node, now: node.work_finished(result, now))

    def _role_changed(self, role: RoleChanged) -> None:
        if role != self.role:
            log.info("role", role=role.role, term=role.term, leader=role.leader_id)
            self.role = role
            if self.role_watcher is not None:
                self.role_watcher.role_changed(role)

    # ------------------------------------------------------------------ the database
    def _begin(self, loaded: Loaded, store: Store | None = None) -> None:
        """A node from what is on disk, or in `store`, and its writers."""
        node = Node(self._settings, self._conf, loaded, self._clock.moment(), store)
        log_writer, table_writer = self._make_writers(node)
        self._node, self._log_writer, self._table_writer = node, log_writer, table_writer
        self._writers = [self._spawn(self._write_log(log_writer)), self._spawn(table_writer.run())]
        for peer in self._connected:
            node.peer_connected(peer, self._clock.moment())

    def _make_writers(self, node: Node) -> tuple[LogWriter, TableWriter]:
        """What they report is for their own node alone."""

        def post(event: Event) -> None:
            self.post(lambda current, now: event(current, now) if current is node else None)

        tables = TableWriter(
            self._storage, node.store, lambda index: post(lambda current, now: current.tables_written(index, now))
        )
        durable: Callable[[int], None] = lambda ticket: post(lambda current, now: current.persisted(ticket, now))  # noqa: E731
        return LogWriter(self._storage, tables.install, durable), tables

    async def _write_log(self, writer: LogWriter) -> None:
        try:
            await writer.run()
        except StorageError as error:
            problem = str(error)
            self.post(lambda node, now: self._storage_failed(node, problem, now))

    def _storage_failed(self, node: Node, problem: str, now: Moment) -> None:
        log.error("the database failed: this server neither votes nor leads until it is back", reason=problem)
        self.storage_problem = problem
        node.persist_failed(now)
        self._log_writer = None  # the table writer goes on collecting, for whoever writes next
        failed, self._writers = self._writers, []
        self._writers.append(self._spawn(self._recover(failed)))

    async def _recover(self, failed: list[asyncio.Task[None]]) -> None:
        await _cancelled(failed)
        while True:
            await asyncio.sleep(RECOVERY_PAUSE_S)
            try:
                loaded = await self._storage.load()
            except StorageError as error:
                self.storage_problem = str(error)
            else:
                break
        self.post(lambda node, now: self._replace(loaded))

    def _replace(self, loaded: Loaded) -> None:
        log.info("the database is back", last=loaded.last_index, term=loaded.hard_state.term)
        self.storage_problem = ""
        self._carry_out(self._the_node.take())
        for number in tuple(self._clients):
            client = self._clients[number]
            message = f"[{client.method}] Cannot tell the outcome of the request: this server's database had failed"
            self._reply(number, encode_response([False, message, int(ErrorCode.INTERNAL), -1, I8(-1)]))
        store, tables = self._the_node.store, self._table_writer
        if tables is None or not loaded.applied_index <= store.applied_index <= loaded.last_index:
            self._begin(loaded)
            return
        # what was applied here is committed, whatever the tables have: nobody shall read older state than before
        self._begin(loaded, store)
        assert self._table_writer is not None
        self._table_writer.take_over(tables)

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """A task without which the server is none: should it fail, the process ends."""
        task = asyncio.create_task(work)
        task.add_done_callback(self._watch)
        return task

    def _watch(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:

            def fail(node: Node, now: Moment) -> None:
                raise Fatal(f"{type(error).__name__}: {error}") from error

            self.post(fail)


async def _cancelled(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
