"""Names, and the order of a clean stop."""

from __future__ import annotations

import pytest
import yaml

from deploy.lab import parts
from deploy.lab.definition import Definition
from deploy.lab.errors import LabError
from deploy.lab.folders import LabFolder
from deploy.lab.topology import Topology


@pytest.fixture
def topology(folder: LabFolder) -> Topology:
    return parts.build(Definition(frontends=2, db="mariadb", network="127.0.30"), folder, "secret")


def names(topology: Topology, *selected: str) -> list[str]:
    return [process.name for process in topology.select(selected)]


def test_a_frontend_stands_for_all_that_runs_on_it(topology: Topology) -> None:
    assert names(topology, "frontend2") == ["mariadb2", "oned2", "sunstone2"]


def test_a_process_named_twice_is_meant_once(topology: Topology) -> None:
    assert names(topology, "oned1", "frontend1", "balancer") == ["mariadb1", "oned1", "sunstone1", "balancer"]


def test_a_name_of_nothing_is_told_with_those_there_are(topology: Topology) -> None:
    with pytest.raises(
        LabError, match="there is no 'oned3' in this lab; there are balancer, cache, frontend1, frontend2"
    ):
        topology.select(("oned1", "oned3"))


def test_a_database_stops_after_the_daemon_that_writes_to_it(topology: Topology) -> None:
    waves = [{process.name for process in wave} for wave in topology.waves()]
    assert waves == [{"cache", "oned1", "oned2", "sunstone1", "sunstone2", "balancer"}, {"mariadb1", "mariadb2"}]


def test_each_web_ui_asks_its_own_daemon_first(topology: Topology) -> None:
    (sunstone,) = topology.select(("sunstone2",))
    settings = yaml.safe_load(sunstone.files[0].text)
    assert settings["oned"] == ["http://127.0.30.22:2633/RPC2", "http://127.0.30.21:2633/RPC2"]


def test_all_daemons_are_told_the_same_membership(topology: Topology) -> None:
    first, second = (
        yaml.safe_load(process.files[0].text)["cluster"] for process in topology.select(("oned1", "oned2"))
    )
    assert first["servers"] == second["servers"] and [first["server_id"], second["server_id"]] == [0, 1]
