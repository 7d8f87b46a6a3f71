"""The control endpoint of one daemon: its listener, and what it puts before drivers and calls."""

from __future__ import annotations

import socket

from services.common import logs
from services.oned_lite.api.catalogue import METHODS
from services.oned_lite.drivers.port import Driver
from services.oned_lite.drivers.scripted import Script, ScriptedDrivers
from services.oned_lite.server.calls import Backend
from services.oned_lite.server.clock import Clock
from services.oned_lite.server.engine import Engine
from services.oned_lite.server.http import HttpLimits
from services.oned_lite.server.listener import HttpServer
from services.oned_lite.server.settings import OnedSettings

from .application import ControlApplication
from .backend import WatchedBackend
from .bench import Bench
from .calls import CallLog
from .faults import Faults

log = logs.get("control")
LIMITS = HttpLimits(connections=64, body=1 << 20, bodies_total=4 << 20)


class ControlEndpoint:
    """`listening` is bound to a loopback address."""

    def __init__(self, listening: socket.socket, clock: Clock) -> None:
        self._listening = listening
        self._clock = clock
        self._script = Script()
        self._faults = Faults()
        self._calls = CallLog(METHODS)

    def drivers(self, drivers: Driver) -> Driver:
        return ScriptedDrivers(drivers, self._script, self._clock.sleep)

    def backend(self, backend: Backend) -> Backend:
        return WatchedBackend(backend, self._calls, self._faults, lambda: self._clock.moment().epoch_s)

    async def run(self, engine: Engine, settings: OnedSettings) -> None:
        """Until cancelled."""
        bench = Bench(
            engine,
            self._clock,
            self._script,
            self._faults,
            self._calls,
            datastores=settings.datastores or settings.data / "datastores",
            owns_datastores=settings.datastores is None,
        )
        host, port = self._listening.getsockname()[:2]
        log.warning(
            "the control endpoint is open: whoever is on this machine may reset this server", host=host, port=port
        )
        try:
            await HttpServer(self._listening, LIMITS).run(ControlApplication(bench))
        finally:
            self._listening.close()
