"""The process: listeners, the data plane, active checks, the status listener; reload and graceful stop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

from services.balancer.plane.client import ClientConnection
from services.balancer.plane.engine import Engine, ListenerState
from services.balancer.plane.prober import Prober
from services.balancer.plane.tls import server_context
from services.balancer.site import Plan
from services.common.logs import Logger

GRACE_S = 3.5
RAMP_INTERVAL_S = 0.5
BACKLOG = 4096


class Balancer:
    """One process' worth of balancer. ``start``, then ``reload`` any number of times, then ``stop``."""

    def __init__(self, plan: Plan, log: Logger, *, reuse_port: bool = False) -> None:
        self.plan = plan
        self._log = log
        self._reuse_port = reuse_port
        self._servers: dict[str, asyncio.Server] = {}
        self._ramp: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open every listener; raises OSError naming the address that cannot be opened."""
        loop = asyncio.get_running_loop()
        self.engine = Engine(loop, self.plan, self._log.warning)
        self.prober = Prober(self.engine)
        self.engine.wheel.start()
        try:
            for address in self.plan.listeners:
                await self._listen(address)
        except OSError:
            await self.stop(grace_s=0)
            raise
        self.prober.reconcile()
        self._ramp = asyncio.create_task(self._ramp_weights())

    async def _listen(self, address: str) -> None:
        state = self.engine.listeners[address]
        context = server_context(state.plan) if state.plan.tls else None
        sock = bound_socket(address, reuse_port=self._reuse_port)
        self._servers[address] = await asyncio.get_running_loop().create_server(
            self._factory(state), sock=sock, ssl=context, backlog=BACKLOG,
            ssl_handshake_timeout=10 if context else None,
        )  # fmt: skip

    def _factory(self, state: ListenerState) -> Callable[[], ClientConnection]:
        engine = self.engine
        return lambda: ClientConnection(engine, state)

    @property
    def ports(self) -> dict[str, int]:
        """The real port of each configured address; of use when it says 0."""
        return {address: server.sockets[0].getsockname()[1] for address, server in self._servers.items()}

    async def reload(self, plan: Plan) -> None:
        """Change to a new plan. Raises OSError or ssl.SSLError, and then nothing has changed."""
        before, self.plan = self.plan, plan
        for listener in plan.listeners.values():
            if listener.tls:
                server_context(listener)
        self.engine.adopt(plan)
        opened: list[str] = []
        try:
            for address, listener in plan.listeners.items():
                changed_tls = address in self._servers and listener.tls != before.listeners[address].tls
                if changed_tls:
                    self._servers.pop(address).close()
                if address not in self._servers:
                    await self._listen(address)
                    opened.append(address)
        except OSError:
            for address in opened:
                self._servers.pop(address).close()
            self.plan = before
            self.engine.adopt(before)
            raise
        for address in [address for address in self._servers if address not in plan.listeners]:
            self._servers.pop(address).close()
        self.prober.reconcile()

    async def stop(self, grace_s: float = GRACE_S) -> None:
        """Stop accepting, let requests in progress finish for ``grace_s`` seconds, then drop the rest."""
        for server in self._servers.values():
            server.close()
        if self._ramp is not None:
            self._ramp.cancel()
        await self.prober.close()
        self.engine.begin_closing()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.engine.emptied.wait(), grace_s)
        self.engine.close()
        await asyncio.sleep(0)

    async def _ramp_weights(self) -> None:
        while True:
            for group in self.engine.groups():
                group.ramp(self.engine.time())
            await asyncio.sleep(RAMP_INTERVAL_S)


def bound_socket(address: str, *, reuse_port: bool = False) -> socket.socket:
    """A listening socket's bound socket; raises OSError with the address in its text."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setblocking(False)
        sock.bind(("" if host == "*" else host, int(port)))
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"cannot listen on {address}: {error.strerror}") from None
    return sock
