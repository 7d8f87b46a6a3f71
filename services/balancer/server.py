"""One process that balances: listeners, the data plane, active checks; reload, graceful quit and stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping

from services.balancer.core.groups import Group
from services.balancer.core.places import OwnPlaces, Places
from services.balancer.core.rates import Buckets
from services.balancer.core.roster import Member
from services.balancer.core.shared import Memory
from services.balancer.fleet import WorkerView, nothing
from services.balancer.plan import Plan
from services.balancer.plane.client import ClientConnection
from services.balancer.plane.engine import Engine, ListenerState
from services.balancer.plane.prober import Prober
from services.balancer.plane.reactor import Listening
from services.balancer.plane.secured import Greeter
from services.balancer.plane.shared_limits import SharedLimits
from services.balancer.plane.tls import server_context
from services.balancer.sockets import Sockets
from services.balancer.status.figures import Figures, count, engine_figures
from services.common.logs import Logger

GRACE_S = 3.5
RAMP_INTERVAL_S = 0.5
BACKLOG = 4096


class Balancer:
    """One process' worth of balancer. ``start``, then ``reload`` any number of times, then ``stop``.

    A worker of several is one with ``probes=False``, the zones' memory, the places and buckets that they
    share, and ``accept_on`` its share of the sockets.
    """

    def __init__(
        self,
        plan: Plan,
        log: Logger,
        sockets: Sockets | None = None,
        *,
        zones: Mapping[str, Memory] | None = None,
        places: Places | None = None,
        buckets: Buckets | None = None,
        probes: bool = True,
    ) -> None:
        """To be made where the event loop runs."""
        self.plan = plan
        self.sockets = sockets if sockets is not None else Sockets()
        self.engine = Engine(asyncio.get_running_loop(), plan, log.warning, zones, places, buckets)
        self.judged: Callable[[Group], None] = lambda group: None
        probed = self.engine.groups if probes else list
        self.prober = Prober(probed, self.time, log.warning, lambda group: self.judged(group))
        self._numbers: tuple[int, ...] | None = None  # None: all
        self._servers: dict[tuple[str, int], Listening] = {}
        self._greetings: set[asyncio.Task[None]] = set()  # handshakes in progress
        self._ramp: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open every listener; raises OSError naming the address that cannot be opened."""
        self.engine.wheel.start()
        self.sockets.keep_only(self.plan.listeners)
        try:
            await self._listen()
        except OSError:
            await self.stop(grace_s=0)
            raise
        self.prober.reconcile()
        gc.freeze()  # what is there now stays: no need to look through it again and again
        self._ramp = asyncio.create_task(self._ramp_weights())

    # Listeners

    async def accept_on(self, numbers: Iterable[int]) -> None:
        """Accept on these of every address' sockets, by number, and leave the others to other processes."""
        self._numbers = tuple(numbers)
        await self._listen()

    async def _listen(self) -> None:
        wanted = {
            (address, number): sock
            for address in self.plan.listeners
            for number, sock in enumerate(self.sockets.open(address))
            if self._numbers is None or number in self._numbers
        }
        for key in self._servers.keys() - wanted:
            self._servers.pop(key).close()
        for (address, number), sock in wanted.items():
            if (address, number) not in self._servers:
                state = self.engine.listeners[address]
                context = server_context(state.plan) if state.plan.tls else None
                self._servers[address, number] = self._accept(state, sock.dup(), context)

    def _accept(self, state: ListenerState, sock: socket.socket, context: ssl.SSLContext | None) -> Listening:
        engine = self.engine
        if context is None:
            return Listening(
                engine.reactor, sock, BACKLOG,
                lambda client: engine.reactor.connected(client, ClientConnection(engine, state)),
            )  # fmt: skip
        greeter = Greeter(engine.reactor, context, lambda: ClientConnection(engine, state), self._greetings)
        return Listening(engine.reactor, sock, BACKLOG, greeter.welcome)

    # As a fleet of one

    @property
    def groups(self) -> Mapping[str, Group]:
        return {name: pool.group for name, pool in self.engine.pools.items()}

    @property
    def buckets(self) -> Buckets:
        return self.engine.buckets

    @property
    def ports(self) -> dict[str, int]:
        return {address: self.sockets.port(address) for address in self.plan.listeners if address in self.sockets}

    @property
    def serving(self) -> bool:
        return not self.engine.closing

    def time(self) -> float:
        return self.engine.time()

    def workers(self) -> list[WorkerView]:
        return []

    async def figures(self) -> Figures:
        return engine_figures(self.engine)

    def share(self, limits: SharedLimits) -> None:
        """Count under limits together with others from now on; those who are in already are counted too."""
        places = self.engine.places
        if isinstance(places, OwnPlaces):
            limits.places.take_over(places.taken)
            self.engine.places, self.engine.buckets = limits.places, limits.buckets

    def count(self, figures: Figures) -> None:
        count(self.engine.totals, figures)

    def assume(self, name: str, members: Iterable[Member]) -> None:
        """Take a group as the master of several workers says."""
        pool = self.engine.pools[name]
        pool.group.assume(members)
        pool.settle()

    def changed(self, name: str) -> None:
        self.engine.pools[name].settle()
        self.prober.reconcile()

    # Reload and the end

    async def reload(self, plan: Plan, amend: Callable[[], None] = nothing) -> None:
        """Change to a new plan. Raises OSError or what ``amend`` raises, and then nothing has changed."""
        for listener in plan.listeners.values():
            if listener.tls:
                server_context(listener)
        before = self.plan
        try:
            await self._change_to(plan, amend)
        except (OSError, ValueError):
            await self._change_to(before, nothing)
            raise
        finally:
            self.sockets.keep_only(self.plan.listeners)
        self.prober.reconcile()

    async def _change_to(self, plan: Plan, amend: Callable[[], None]) -> None:
        before, self.plan = self.plan, plan
        self.engine.adopt(plan)
        amend()
        for address, number in list(self._servers):  # who connects meanwhile waits in the socket's queue
            then, now = before.listeners.get(address), plan.listeners.get(address)
            if then and now and (then.tls or now.tls):  # certificates may be new though the settings are not
                self._servers.pop((address, number)).close()
        await self._listen()

    async def drain(self) -> None:
        await self._retire()
        if self._greetings:
            await asyncio.wait(self._greetings)  # nobody is known as a client before the handshake is over
        self.engine.begin_closing(gently=True)
        await self.engine.emptied.wait()
        self.engine.close()

    async def stop(self, grace_s: float = GRACE_S) -> None:
        await self._retire()
        self.engine.begin_closing()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.engine.emptied.wait(), grace_s)
        self.engine.close()
        await asyncio.sleep(0)

    async def _retire(self) -> None:
        self.sockets.close()
        for server in self._servers.values():
            server.close()
        self._servers.clear()
        if self._ramp is not None:
            self._ramp.cancel()
        await self.prober.close()

    async def _ramp_weights(self) -> None:
        while True:
            for group in self.engine.groups():
                group.ramp(self.engine.time())
            await asyncio.sleep(RAMP_INTERVAL_S)
