from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from tests.balancer.support import Handler, Upstream, self_signed


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


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with NAME.pem and NAME.key for two names, each its own authority, and dhparam.pem."""
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("one.example", "two.example"):
        self_signed(folder, name)
    subprocess.run(
        ["openssl", "genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048", "-out",
         folder / "dhparam.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder
