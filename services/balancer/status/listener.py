"""Opens and closes the status listener."""

from __future__ import annotations

from aiohttp import web

from services.balancer.server import Balancer
from services.balancer.settings import Settings
from services.balancer.site import split_address
from services.balancer.status.app import Reload, StatusApp
from services.balancer.status.changes import Changes


class StatusListener:
    """The aiohttp server behind ``status:``; nothing when that is not set."""

    def __init__(self, balancer: Balancer, changes: Changes, reload: Reload) -> None:
        self._balancer = balancer
        self._changes = changes
        self._reload = reload
        self._runner: web.AppRunner | None = None

    async def open(self, settings: Settings) -> int:
        """Listen on ``settings.status``; returns the port, 0 without one. Raises OSError."""
        if not settings.status:
            return 0
        app = StatusApp(self._balancer, self._changes, self._reload)
        runner = web.AppRunner(
            app.application(writable=settings.status_allows_changes), access_log=None, shutdown_timeout=0.5
        )
        await runner.setup()
        self._runner = runner
        host, port = split_address(settings.status)
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise OSError(error.errno, f"cannot listen on {settings.status}: {error.strerror}") from None
        listening: tuple[str, int] = runner.addresses[0]
        return listening[1]

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
