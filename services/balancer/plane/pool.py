"""Connections to the peers of one group: idle ones, new ones, and requests that wait for a free slot."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from services.balancer.core.groups import Group, GroupSettings
from services.balancer.core.peers import Peer
from services.balancer.plane.dialling import Dialling
from services.balancer.plane.timers import NEVER, Timed
from services.balancer.plane.tls import connect_options
from services.balancer.plane.upstream import UpstreamConnection
from services.balancer.wire.response import ResponseParser

if TYPE_CHECKING:
    from services.balancer.plane.engine import Engine
    from services.balancer.plane.exchange import Exchange

LOOK_S: Final = 0.02


class Waiting(Timed):
    """A request's place in the queue of its group."""

    __slots__ = ("exchange",)

    def __init__(self, exchange: Exchange) -> None:
        super().__init__()
        self.exchange = exchange

    def on_deadline(self) -> None:
        self.exchange.waited_too_long()


class Pool:
    """Idle connections are kept per peer, last used first; over the limit the longest idle one goes."""

    def __init__(self, engine: Engine, group: Group) -> None:
        self.engine = engine
        self.group = group
        self.parser = ResponseParser()
        self._idle: dict[int, list[UpstreamConnection]] = {}
        self.idle = 0
        self.picky = False  # whether some of the connections that come back are not kept
        self.dialling: set[Dialling] = set()
        self.waiting: deque[Waiting] = deque()
        self._spoken = group.settings.tls
        self._adopt(group.settings)
        self._look: asyncio.TimerHandle | None = None

    def configure(self, settings: GroupSettings) -> None:
        """Take new settings; connections to peers that are gone are closed."""
        self.group.configure(settings)
        self._adopt(settings)
        self.settle()

    def replace(self, group: Group) -> None:
        """Go on with another group of the same name; what is in progress ends by the rules of the new one."""
        group.succeed(self.group)
        self.group = group
        self._adopt(group.settings)
        self.settle()

    def _adopt(self, settings: GroupSettings) -> None:
        self.keyed = _keyed(settings)
        self.keepalive = settings.keepalive
        self.tls = connect_options(settings.tls)  # certificates may be new though the settings are not
        if settings.tls != self._spoken:
            self._spoken = settings.tls
            self.drop_idle()

    def settle(self) -> None:
        """Follow a change of servers: connections to those that are gone are closed, who waits may find room."""
        present = {peer.id for peer in self.group.peers}
        for peer_id in [peer_id for peer_id in self._idle if peer_id not in present]:
            for connection in list(self._idle.pop(peer_id)):
                self.discard(connection)
                connection.close()
            self.picky = True
        if self.waiting:
            self.engine.loop.call_soon(self.slot_freed)

    def retire(self) -> None:
        """Keep no connections from now on."""
        self.drop_idle()
        self._idle.clear()
        self.picky = True

    # Idle connections

    def idle_of(self, peer: Peer) -> list[UpstreamConnection]:
        """The list where a peer's idle connections rest; each of them knows it as its ``home``."""
        return self._idle.setdefault(peer.id, [])

    def take(self, peer: Peer) -> UpstreamConnection | None:
        idle = self._idle.get(peer.id)
        if not idle:
            return None
        self.idle -= 1
        return idle.pop()

    def put(self, connection: UpstreamConnection) -> None:
        """Keep a connection whose answer is complete, or close it when it is worn or there are too many."""
        keep, wheel = self.keepalive, self.engine.wheel
        if (
            connection.requests >= keep.requests
            or wheel.now >= connection.retires_at
            or (self.picky and not self._at_home(connection))
        ):
            connection.close()
            return
        if self.idle >= keep.connections and not self._make_room():
            connection.close()
            return
        self.idle += 1
        connection.home.append(connection)
        connection.idle_since = wheel.now
        wheel.arm(connection, keep.idle_s)

    def _at_home(self, connection: UpstreamConnection) -> bool:
        """Whether connections to its peer are still kept."""
        return not self.engine.closing and self._idle.get(connection.peer.id) is connection.home

    def _make_room(self) -> bool:
        """Close the connection that has been idle longest; false when there is none."""
        eldest = [idle[0] for idle in self._idle.values() if idle]
        if not eldest:
            return False
        oldest = min(eldest, key=lambda connection: connection.idle_since)
        self.discard(oldest)
        oldest.close()
        return True

    def discard(self, connection: UpstreamConnection) -> None:
        """Forget an idle connection (it closed, or is about to)."""
        if connection in connection.home:
            connection.home.remove(connection)
            self.idle -= 1

    def close(self) -> None:
        self.drop_idle()
        for attempt in list(self.dialling):
            attempt.cancel()

    def drop_idle(self) -> None:
        for connection in [connection for idle in self._idle.values() for connection in idle]:
            self.discard(connection)
            connection.close()

    # New connections

    def connect(self, exchange: Exchange, peer: Peer) -> Dialling:
        """Connect for an exchange; it hears of the outcome."""
        peer.stats.connects += 1
        attempt = Dialling(self, exchange, peer)
        self.dialling.add(attempt)
        attempt.begin()
        return attempt

    # The queue

    def enqueue(self, exchange: Exchange) -> Waiting | None:
        """Let a request wait for a free slot; None when there is no queue, no point or no room."""
        settings = self.group.settings
        if len(self.waiting) >= settings.queue or not self.group.full():
            return None
        place, wheel = Waiting(exchange), self.engine.wheel
        if exchange.waits_until == NEVER:
            exchange.waits_until = wheel.now + settings.queue_timeout_s
        self.waiting.append(place)
        wheel.arm(place, exchange.waits_until - wheel.now)
        self._look_out()
        return place

    def _look_out(self) -> None:
        """Slots of a shared group may be freed by another worker, which does not tell."""
        if self.waiting and self.group.shared and self._look is None:
            self._look = self.engine.loop.call_later(LOOK_S, self._look_for_room)

    def _look_for_room(self) -> None:
        self._look = None
        self.slot_freed()
        self._look_out()

    def leave_queue(self, place: Waiting) -> None:
        self.engine.wheel.forget(place)
        if place in self.waiting:
            self.waiting.remove(place)

    def slot_freed(self) -> None:
        """Let those who wait have what is free, in their order; who has failed there already leaves it to the next."""
        for _ in range(len(self.waiting)):
            if not self.waiting or not self.group.has_room(int(self.engine.time())):
                break
            self.waiting[0].exchange.next_peer()


def _keyed(settings: GroupSettings) -> bool:
    return settings.method.startswith(("hash", "ip_hash"))
