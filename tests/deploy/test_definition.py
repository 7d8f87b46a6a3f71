"""What a lab may be made as, and what may change later."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.lab import definition as definitions
from deploy.lab.addresses import on_network, on_ports
from deploy.lab.definition import Definition, Wishes, settle
from deploy.lab.errors import LabError
from services.common.settings import Address

HERE = Path("/the/lab")


def test_a_new_lab_has_three_frontends_on_addresses_of_their_own() -> None:
    made = settle(None, Wishes(), own_addresses=True, folder=HERE)
    assert made == Definition(frontends=3, db="sqlite", cache="builtin", network="127.0.20")
    assert [frontend.oned for frontend in made.addresses.frontends] == [
        Address("127.0.20.21", 2633),
        Address("127.0.20.22", 2633),
        Address("127.0.20.23", 2633),
    ]
    assert made.addresses.balancer == Address("127.0.0.1", 8080)


def test_where_there_is_only_one_address_the_ports_differ() -> None:
    made = settle(None, Wishes(), own_addresses=False, folder=HERE)
    assert made.addresses.balancer == Address("127.0.0.1", 8080)
    ports = [address for frontend in made.addresses.frontends for address in (frontend.oned, frontend.sunstone)]
    assert len(set(ports)) == 6 and {address.host for address in ports} == {"127.0.0.1"}


@pytest.mark.parametrize("frontends", range(1, 10))
def test_no_two_servers_of_a_lab_share_an_address(frontends: int) -> None:
    for addresses in (on_network("127.0.30", frontends), on_ports(20000, frontends)):
        taken = [addresses.balancer, addresses.balancer_status, addresses.cache, addresses.cache_status]
        for each in addresses.frontends:
            taken += [each.oned, each.peer, each.sunstone]
        assert len(set(taken)) == len(taken) == 4 + 3 * frontends


def test_labs_on_different_networks_never_meet() -> None:
    one, other = on_network("127.0.30", 3), on_network("127.0.31", 3)
    assert one.balancer != other.balancer and one.cache.host != other.cache.host


def test_a_lab_remembers_what_it_was_made_as(tmp_path: Path) -> None:
    made = settle(None, Wishes(frontends=5, db="mariadb", ports=20000), own_addresses=True, folder=tmp_path)
    definitions.write(tmp_path, made)
    found = definitions.read(tmp_path)
    assert settle(found, Wishes(), own_addresses=True, folder=tmp_path) == made
    assert definitions.read(tmp_path / "elsewhere") is None


@pytest.mark.parametrize("wish", [Wishes(frontends=5), Wishes(db="mariadb"), Wishes(network="127.0.30")])
def test_what_is_part_of_the_data_does_not_change(wish: Wishes) -> None:
    made = Definition(network="127.0.20")
    with pytest.raises(LabError, match="the lab in /the/lab was made with --"):
        settle(made, wish, own_addresses=True, folder=HERE)


def test_the_cache_may_change_from_start_to_start() -> None:
    made = Definition(network="127.0.20", prepared=True)
    changed = settle(made, Wishes(cache="memcached"), own_addresses=True, folder=HERE)
    assert changed == Definition(network="127.0.20", prepared=True, cache="memcached")


@pytest.mark.parametrize(
    ("wish", "word"),
    [
        (Wishes(frontends=0), "--frontends: expected 1 to 9, got 0"),
        (Wishes(frontends=10), "--frontends: expected 1 to 9, got 10"),
        (Wishes(network="10.0.0"), "--network: expected the first three bytes of a loopback network"),
        (Wishes(network="127.0.0.1"), "--network: expected"),
        (Wishes(ports=80), "--ports: expected a first port from 1024"),
        (Wishes(ports=20000, network="127.0.30"), "exclude each other"),
    ],
)
def test_a_wish_that_cannot_be_met_is_one_clear_line(wish: Wishes, word: str) -> None:
    with pytest.raises(LabError, match=word):
        settle(None, wish, own_addresses=True, folder=HERE)


def test_a_spoilt_definition_is_named(tmp_path: Path) -> None:
    (tmp_path / definitions.FILE_NAME).write_text('{"frontends": "many"}')
    with pytest.raises(LabError, match=r"lab\.json: not a lab's definition"):
        definitions.read(tmp_path)
