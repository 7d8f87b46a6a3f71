"""What descriptions of address ranges make, and the arithmetic of their addresses."""

from __future__ import annotations

import pytest

from services.common.template import Vector
from services.oned_lite.model.address_range import AddressRange, RangeFault, new_range


def made(ar_id: int = 0, **attributes: str) -> AddressRange:
    return new_range(Vector.of(attributes), ar_id, "02:00", b"\x01\x02\x03\x04")


def test_a_mac_is_made_of_the_ip_or_else_drawn() -> None:
    assert made(TYPE="IP4", IP="10.0.0.1", SIZE="1").attributes["MAC"] == "02:00:0a:00:00:01"
    assert made(TYPE="ETHER", SIZE="1").attributes["MAC"] == "02:00:01:02:03:04"


def test_each_type_hands_out_its_own_sorts_of_addresses() -> None:
    both = made(TYPE="IP4_6", IP="192.168.5.5", SIZE="2", GLOBAL_PREFIX="2001:db8:0:1::", ULA_PREFIX="fd00::")
    assert both.addresses(1) == {
        "MAC": "02:00:c0:a8:05:06",
        "IP": "192.168.5.6",
        "IP6_LINK": "fe80::c0ff:fea8:506",
        "IP6_GLOBAL": "2001:db8:0:1:0:c0ff:fea8:506",
        "IP6_ULA": "fd00::c0ff:fea8:506",
    }
    static = made(TYPE="IP6_STATIC", IP6="2001:db8::10", PREFIX_LENGTH="64", SIZE="5", MAC="02:aa:00:00:00:00")
    assert static.addresses(4) == {"MAC": "02:aa:00:00:00:04", "IP6": "2001:db8::14"}


@pytest.mark.parametrize("index", [0, 1, 254, 255, 256, 70_000])
def test_an_address_is_found_where_it_was_counted_to(index: int) -> None:
    ranges = (
        made(TYPE="IP4", IP="10.1.9.250", SIZE="100000"),
        made(TYPE="IP6", SIZE="100000", MAC="02:00:00:00:ff:01", GLOBAL_PREFIX="2001:a::", ULA_PREFIX="fd01::"),
        made(TYPE="IP4_6_STATIC", IP="10.9.0.1", IP6="2001:db8:5::1", PREFIX_LENGTH="64", SIZE="100000"),
        made(TYPE="ETHER", SIZE="100000", MAC="50:20:20:20:20:fe"),
    )
    for one in ranges:
        for name, text in one.addresses(index).items():
            wanted = "IP6" if name.startswith("IP6") else name
            if name != "IP6_LINK":
                assert one.index_of(wanted, text) == index


def test_addresses_before_and_after_a_range_are_not_in_it() -> None:
    one = made(TYPE="IP4", IP="10.0.0.2", SIZE="2")
    assert [one.index_of("IP", f"10.0.0.{last}") for last in (1, 2, 3, 4)] == [None, 0, 1, None]
    assert one.index_of("IP6", "2001::1") is None
    assert one.index_of("MAC", "03:00:0a:00:00:02") is None


def test_the_rest_of_a_prefix_is_a_range_where_no_size_is_given() -> None:
    assert made(TYPE="IP6_STATIC", IP6="2001:db8::10", PREFIX_LENGTH="64").size == 2**64 - 1 - 0x10
    assert made(TYPE="IP6_STATIC", IP6="2001:db8::10", PREFIX_LENGTH="120").size == 256 - 0x10


def test_a_reservation_is_cut_out_with_its_parents_attributes() -> None:
    cut = made(ar_id=3, TYPE="IP4", IP="10.0.0.1", SIZE="20", NOTE="first").cut(0, 10, 3)
    assert dict(cut.attributes) == {
        "AR_ID": "0",
        "IP": "10.0.0.11",
        "MAC": "02:00:0a:00:00:0b",
        "NOTE": "first",
        "PARENT_NETWORK_AR_ID": "3",
        "SIZE": "3",
        "TYPE": "IP4",
    }
    with pytest.raises(RangeFault, match="reservation"):
        cut.updated(Vector.of(SIZE="2"), -1)


def test_an_update_keeps_what_makes_a_range_and_replaces_the_rest() -> None:
    one = made(TYPE="IP4", IP="10.0.0.1", SIZE="20", NOTE="old", GATEWAY="10.0.0.254")
    changed = one.updated(Vector.of(SIZE="5", IP="1.2.3.4", TYPE="ETHER", NOTE="new"), highest_used=4)
    assert (changed.size, changed.attributes["IP"], changed.attributes["TYPE"]) == (5, "10.0.0.1", "IP4")
    assert changed.attributes["NOTE"] == "new"
    assert "GATEWAY" not in changed.attributes
    with pytest.raises(RangeFault, match="outside the range"):
        one.updated(Vector.of(SIZE="4"), highest_used=4)
