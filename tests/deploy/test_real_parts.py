"""The lab on a MariaDB server per frontend and a real memcached."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.deploy.onelite import attempt, complaint, onelite
from tests.deploy.test_lab import ask, call, eventually, states, status

NETWORK = f"127.{64 + os.getpid() % 128}.252"


@pytest.mark.xdist_group("lab")
@pytest.mark.timeout(240)
def test_a_frontend_whose_database_dies_with_it_comes_back_and_catches_up(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    try:
        onelite("up", "--detach", "--db", "mariadb", "--cache", "memcached", "--network", NETWORK, folder=folder)
        assert all(each["mariadb_pid"] for each in status(folder)["frontends"])
        onelite("kill", "frontend1", folder=folder)
        assert status(folder)["frontends"][0]["mariadb_pid"] is None
        eventually(lambda: "leader" in states(folder).values())
        oid = call(folder, "one.user.allocate", "meanwhile", "secret", "", [], frontend=1)
        onelite("start", "frontend1", folder=folder)
        eventually(lambda: sorted(states(folder).values()) == ["follower", "follower", "leader"])
        eventually(lambda: "<NAME>meanwhile</NAME>" in str(ask(folder, "one.user.info", oid)))
        assert "was made with --db mariadb" in complaint("up", "--detach", "--db", "sqlite", folder=folder)
        onelite("down", folder=folder)
    finally:
        attempt("kill", "frontend1", "frontend2", "frontend3", "balancer", "cache", folder=folder)
