"""Opens and closes the status listener."""

from __future__ import annotations

import socket

from aiohttp import web

from services.balancer.settings import Settings
from services.balancer.sockets import Sockets
from services.balancer.status.app import StatusApp, Whole
from services.balancer.status.changes import Changes


class StatusListener:
    """The aiohttp server behind ``status:``; nothing when that is not set."""

    def __init__(self, changes: Changes, whole: Whole) -> None:
        self._app = StatusApp(changes, whole)
        self._runner: web.AppRunner | None = None
        self._sockets = Sockets()

    async def open(self, settings: Settings, inherited: socket.socket | None = None) -> int:
        """Listen on ``settings.status``; returns the port, 0 without one. Raises OSError."""
        if not settings.status:
            return 0
        if inherited is not None:
            self._sockets.take(settings.status, inherited)
        sock = self._sockets.open(settings.status)[0]
        runner = web.AppRunner(
            self._app.application(writable=settings.status_allows_changes), access_log=None, shutdown_timeout=0.5
        )
        await runner.setup()
        self._runner = runner
        await web.SockSite(runner, sock.dup()).start()
        return self._sockets.port(settings.status)

    def show(self, changes: Changes) -> None:
        """Show another fleet, and change that."""
        self._app.changes = changes

    @property
    def socket(self) -> socket.socket | None:
        """The listening socket, for a successor."""
        return next((sock for _, sock in self._sockets), None)

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        self._sockets.close()
