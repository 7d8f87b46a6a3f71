"""One daemon for all clients' tests of a process, and one with something of every kind in it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.world import Asked, World, ask, build
from tests.support.oned import Oned, solo


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="onelite-clients-") as name:
        yield Path(name)


@pytest.fixture(scope="session")
def world(folder: Path) -> Iterator[World]:
    oned = solo(folder, "--no-scheduler").start()
    try:
        made = World(oned.ready(), folder)
        build(made)
        yield made
    finally:
        oned.kill()


@pytest.fixture(scope="session")
def answers(world: World) -> list[Asked]:
    """Every read of the world, answered."""
    return ask(world)


@pytest.fixture(scope="session")
def oned() -> Iterator[Oned]:
    """A fresh daemon, alone, without a scheduler."""
    with tempfile.TemporaryDirectory(prefix="onelite-clients-") as name:
        server = solo(Path(name), "--no-scheduler").start()
        try:
            yield server.ready()
        finally:
            server.kill()
