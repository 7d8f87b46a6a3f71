from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import uvloop

from tests.balancer.support import Handler, Upstream


def pytest_asyncio_loop_factories(config: object, item: object) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The data plane runs on uvloop, so its tests do."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def upstream() -> AsyncIterator[Callable[..., Awaitable[Upstream]]]:
    """Starts upstream servers that are stopped at the end of the test."""
    started: list[Upstream] = []

    async def start(name: str = "a", handler: Handler | None = None) -> Upstream:
        started.append(await Upstream(name, handler).start())
        return started[-1]

    yield start
    for server in started:
        await server.stop()
