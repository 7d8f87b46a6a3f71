"""Every contract test runs on every adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from services.oned_lite.storage.mariadb import MariadbStorage
from services.oned_lite.storage.mariadb_link import Server
from services.oned_lite.storage.port import Storage
from services.oned_lite.storage.sqlite import SqliteStorage
from tests.support.mariadb import MariadbServer

from .rows import TABLES

Opener = Callable[[], Storage]


@pytest.fixture(params=["sqlite", "mariadb"])
async def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opener]:
    """Opens the same database once more, each time as a server that has just started would."""
    opened: list[Storage] = []
    make = _maker(request, tmp_path)

    def reopen() -> Storage:
        opened.append(make())
        return opened[-1]

    yield reopen
    for storage in opened:
        await storage.close()


def _maker(request: pytest.FixtureRequest, folder: Path) -> Opener:
    if request.param == "sqlite":
        return lambda: SqliteStorage(TABLES, folder)
    server: MariadbServer = request.getfixturevalue("mariadb_server")
    name = f"t_{abs(hash(request.node.nodeid)):x}"
    return lambda: MariadbStorage(TABLES, Server(user=server.user, socket=str(server.socket), name=name))
