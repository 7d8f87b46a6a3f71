"""The fixtures (entry point `onelite` of `pytest11`). What they need is imported when the first test asks for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .daemons import Oned, OnedCluster


@pytest.fixture(scope="session")
def oned_options() -> Sequence[str]:
    """Further options of `oned-lite --solo` for the daemon behind `oned`, such as `["--no-scheduler"]`: override it."""
    return ()


@pytest.fixture(scope="session")
def oned_process(tmp_path_factory: pytest.TempPathFactory, oned_options: Sequence[str]) -> Iterator[Oned]:
    """The daemon of this test session, as the tests before have left it. Tests use `oned`."""
    from .daemons import Oned

    daemon = Oned.alone(tmp_path_factory.mktemp("oned"), oned_options)
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.fixture
def oned(oned_process: Oned) -> Oned:
    """A running daemon with a fresh database: `endpoint`, `user`, `password`, `session`, `control`, `call()`."""
    if not oned_process.runs:
        oned_process.start()
    oned_process.control.reset()
    return oned_process


@pytest.fixture(scope="session")
def oned_cluster_processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnedCluster]:
    """The cluster of this test session, as the tests before have left it. Tests use `oned_cluster`."""
    from .daemons import OnedCluster

    cluster = OnedCluster(tmp_path_factory.mktemp("oned-cluster"))
    cluster.start()
    yield cluster
    cluster.stop()


@pytest.fixture
def oned_cluster(oned_cluster_processes: OnedCluster) -> OnedCluster:
    """Three daemons that replicate, all running, with a fresh database: `servers`, `leader()`, `followers()`."""
    oned_cluster_processes.start()
    oned_cluster_processes.reset()
    return oned_cluster_processes
