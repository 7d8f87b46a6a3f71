"""What all connections of a process share: clock, wheel, groups with their pools, counters, logs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from services.balancer.core.groups import Group, GroupSettings
from services.balancer.core.places import ALL_CLIENTS, SALT_BYTES, OwnPlaces, Place, Places
from services.balancer.core.rates import Buckets, OwnBuckets
from services.balancer.core.shared import Memory, SharedGroup
from services.balancer.plan import ListenerPlan, Plan
from services.balancer.plane.access_log import AccessLogs
from services.balancer.plane.pool import Pool
from services.balancer.plane.prepared import Router
from services.balancer.plane.reactor import Reactor
from services.balancer.plane.timers import Wheel
from services.balancer.wire.request import RequestParser

if TYPE_CHECKING:
    from services.balancer.plane.client import ClientConnection

STATUSES: Final = 1000
_ALL: Final = (ALL_CLIENTS,)


class Totals:
    """Counters of the whole process."""

    __slots__ = ("accepts", "client_aborts", "codes", "no_live", "refused", "requests")

    def __init__(self) -> None:
        self.accepts = 0
        self.refused = 0
        self.requests = 0
        self.client_aborts = 0
        self.no_live = 0
        self.codes = [0] * STATUSES  # how many requests ended with each status, as clients saw it


class ListenerState:
    """One address: what it serves now, and how its requests are parsed and routed."""

    __slots__ = ("aging_s", "header_timeout_s", "limits", "parser", "plan", "router")

    def __init__(self, plan: ListenerPlan) -> None:
        self.replace(plan)

    def replace(self, plan: ListenerPlan) -> None:
        self.plan = plan
        self.limits = plan.limits
        self.header_timeout_s = plan.header_timeout_s
        self.aging_s = plan.aging_s
        self.parser = RequestParser(plan.limits)
        self.router = Router(plan)


class Engine:
    """Owner of everything mutable in the data plane of one process."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        plan: Plan,
        warn: Callable[..., object],
        zones: Mapping[str, Memory] | None = None,
        places: Places | None = None,
        buckets: Buckets | None = None,
    ) -> None:
        self.loop = loop
        self.time = loop.time
        self.wheel = Wheel(loop)
        self.reactor = Reactor(loop, warn)
        self.warn = warn
        self._zones = zones if zones is not None else {}
        self.totals = Totals()
        self.clients: set[ClientConnection] = set()
        self.buckets: Buckets = buckets if buckets is not None else OwnBuckets(os.urandom(SALT_BYTES))
        self.places: Places = places if places is not None else OwnPlaces()
        self.listeners: dict[str, ListenerState] = {}
        self.pools: dict[str, Pool] = {}
        self.access_log: AccessLogs | None = None
        self.closing = False
        self.emptied = asyncio.Event()
        self.serial = 0
        self.adopt(plan)

    def adopt(self, plan: Plan) -> None:
        """Take a new plan; groups and peers that stay keep their state, connections go on."""
        self.plan = plan
        self.client_limits = plan.settings.clients
        for name, settings in plan.groups.items():
            if name not in self.pools:
                self.pools[name] = Pool(self, self._group(settings))
            elif self._stays(self.pools[name].group, settings):
                self.pools[name].configure(settings)
            else:
                self.pools[name].replace(self._group(settings))
        for name in [name for name in self.pools if name not in plan.groups]:
            self.pools.pop(name).retire()
        for address in [address for address in self.listeners if address not in plan.listeners]:
            del self.listeners[address]
        for address, listener in plan.listeners.items():
            if address in self.listeners:
                self.listeners[address].replace(listener)
            else:
                self.listeners[address] = ListenerState(listener)
        served = set(self.listeners.values())
        for client in list(self.clients):
            client.last = None  # served by the old plan
            if client.listener not in served:
                client.leave_soon(gently=False)
        self._open_access_log(plan)

    def _open_access_log(self, plan: Plan) -> None:
        before, self.access_log = self.access_log, None
        if plan.logs:
            self.access_log = AccessLogs(self.loop, plan.logs)
        if before is not None:
            before.close(wait=False)  # a slow disk must not hold up a reload

    def _memory(self, settings: GroupSettings) -> Memory | None:
        """What workers share of a group, if they do."""
        return self._zones.get(settings.name) if settings.zone else None

    def _stays(self, group: Group, settings: GroupSettings) -> bool:
        """Whether a group goes on where it is: in its own memory, or in that which is shared."""
        return (group.memory if isinstance(group, SharedGroup) else None) is self._memory(settings)

    def _group(self, settings: GroupSettings) -> Group:
        memory = self._memory(settings)
        return Group(settings) if memory is None else SharedGroup(settings, memory)

    def groups(self) -> Iterable[Group]:
        return [pool.group for pool in self.pools.values()]

    def admit(self, address: bytes) -> tuple[Place, ...]:
        """The places that a new client takes; none when there is no room for it."""
        limits, places = self.client_limits, self.places
        if not places.take(ALL_CLIENTS, limits.connections):
            return ()
        if not limits.connections_per_address:
            return _ALL
        if not places.take(("", address), limits.connections_per_address):
            places.give_back(ALL_CLIENTS)
            return ()
        return (ALL_CLIENTS, ("", address))

    def begin_closing(self, *, gently: bool = False) -> None:
        """No more keep-alive: busy clients go after their answer, idle ones now, or gently: with their next answer.

        A client that is told to leave in an answer loses nothing; one that is cut off may be sending its next request.
        """
        self.closing = True
        for pool in self.pools.values():
            pool.picky = True
        self.client_gone()
        for client in list(self.clients):
            client.leave_soon(gently=gently)

    def client_gone(self) -> None:
        """Called for every client that left: the last one ends the wait of a graceful stop."""
        if self.closing and not self.clients:
            self.emptied.set()

    def close(self) -> None:
        """Drop what is left."""
        for client in list(self.clients):
            client.abort()
        for pool in self.pools.values():
            pool.close()
        self.reactor.close()
        self.wheel.stop()
        if self.access_log is not None:
            self.access_log.close()
