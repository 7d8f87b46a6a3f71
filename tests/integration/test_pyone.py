"""pyone, unmodified, drives a cluster of three: every kind from the leader's endpoint and from a follower's."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyone
import pytest

from tests.deploy.onelite import attempt, onelite
from tests.integration.lab import ADMIN, Lab, eventually

pytestmark = [pytest.mark.xdist_group("pyone"), pytest.mark.timeout(120)]

NETWORK = f"127.{64 + os.getpid() % 128}.249"
READY = 1


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with tempfile.TemporaryDirectory(prefix="onelite-pyone-") as name:
        folder = Path(name) / "lab"
        try:
            onelite("up", "--detach", "--network", NETWORK, folder=folder)
            yield Lab(folder)
        finally:
            attempt("down", folder=folder)


@pytest.fixture(params=["leader", "follower"])
def one(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Any]:
    leader = lab.leader()
    name = leader if request.param == "leader" else next(name for name in lab.endpoints if name != leader)
    server = pyone.OneServer(lab.endpoints[name], session=ADMIN)
    yield server
    server.server_close() if hasattr(server, "server_close") else server("close")()


@dataclass(frozen=True)
class Trial:
    """How one kind is made; `service` is its attribute in pyone (one.vm → server.vm)."""

    service: str
    allocate: Callable[[Any, str], int]


TRIALS = [
    Trial("user", lambda one, name: one.user.allocate(name, "secret", "core", [1])),
    Trial("group", lambda one, name: one.group.allocate(name)),
    Trial("cluster", lambda one, name: one.cluster.allocate(name)),
    Trial("host", lambda one, name: one.host.allocate(name, "dummy", "dummy", 0)),
    Trial(
        "datastore", lambda one, name: one.datastore.allocate({"NAME": name, "DS_MAD": "dummy", "TM_MAD": "dummy"}, 0)
    ),
    Trial("image", lambda one, name: one.image.allocate(f"NAME = {name}\nTYPE = DATABLOCK\nSIZE = 2", 1)),
    Trial("template", lambda one, name: one.template.allocate({"TEMPLATE": {"NAME": name, "CPU": 1, "MEMORY": 64}})),
    Trial("vm", lambda one, name: one.vm.allocate(f"NAME = {name}\nCPU = 0.1\nMEMORY = 16", True)),
    Trial("vn", lambda one, name: one.vn.allocate(f"NAME = {name}\nVN_MAD = bridge\nBRIDGE = br0", 0)),
]


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.service)
def test_each_kind_is_made_read_changed_and_deleted(trial: Trial, one: Any, lab: Lab) -> None:
    service = getattr(one, trial.service)
    name = f"{trial.service}-by-pyone-{os.urandom(3).hex()}"
    oid = trial.allocate(one, name)
    assert name == service.info(oid).NAME
    assert service.update(oid, "COLOUR = green", 1) == oid
    info = service.info(oid)
    template = info.USER_TEMPLATE if trial.service == "vm" else info.TEMPLATE
    assert template["COLOUR"] == "green"
    settled(trial, service, oid)
    one.vm.action("terminate-hard", oid) if trial.service == "vm" else service.delete(oid)
    if trial.service == "vm":
        assert eventually(lambda: service.info(oid).STATE == 6)
        return
    for endpoint in lab.endpoints.values():
        other = pyone.OneServer(endpoint, session=ADMIN)
        eventually(lambda server=other: gone(getattr(server, trial.service), oid))
        other("close")()


def settled(trial: Trial, service: Any, oid: int) -> None:
    """Objects that drivers are still working on cannot be deleted."""
    if trial.service in ("image", "vn"):
        eventually(lambda: service.info(oid).STATE == READY)


def gone(service: Any, oid: int) -> bool:
    try:
        service.info(oid)
    except pyone.OneNoExistsException:
        return True
    return False


def test_the_zone_shows_its_servers(one: Any, lab: Lab) -> None:
    servers = one.zone.info(0).SERVER_POOL.SERVER
    assert {server.NAME: server.ENDPOINT for server in servers} == lab.endpoints


def test_refusals_are_the_exceptions_clients_know(one: Any) -> None:
    with pytest.raises(pyone.OneNoExistsException):
        one.vm.info(4711)
    with pytest.raises(pyone.OneInternalException):
        one.template.allocate("NAME = ''")
