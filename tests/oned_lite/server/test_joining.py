"""Servers that come and go while a zone of real daemons serves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.oned import Oned, OnedZone, until


@pytest.fixture
def zone(tmp_path: Path) -> Iterator[OnedZone]:
    zone = OnedZone(tmp_path)
    yield zone
    zone.kill()


def write(oned: Oned, name: str) -> None:
    answer = oned.call("one.template.allocate", f"NAME = {name}")
    assert answer[0] is True, answer


def knows(oned: Oned, *names: str) -> bool:
    pool = oned.call("one.templatepool.info", -2, -1, -1)[1]
    return all(f"<NAME>{name}</NAME>" in pool for name in names)


def voters(zone: OnedZone) -> list[int]:
    found = zone.leader().health()["voters"]
    assert isinstance(found, list)
    return found


def test_a_fourth_and_a_fifth_server_join_and_the_leader_is_removed(zone: OnedZone) -> None:
    zone.start()
    write(zone.servers[0], "three")
    for number in (3, 4):
        new = zone.add().start().ready()
        until(lambda: number in voters(zone))  # noqa: B023
        until(lambda: knows(new, "three"))  # noqa: B023
    write(zone.servers[4], "five")

    old = zone.leader()
    number = zone.servers.index(old)
    assert old.call("one.zone.delserver", 0, number)[0] is True

    until(lambda: old.health().get("role") == "removed")
    rest = [one for one in zone.servers if one is not old]
    until(lambda: any(one.leads() for one in rest))
    leader = next(one for one in rest if one.leads())
    until(lambda: leader.health()["voters"] == sorted({0, 1, 2, 3, 4} - {number}))
    status, body = old.page("/healthz")
    assert status == 503 and b"does not belong to the zone" in body
    term = leader.health()["term"]
    write(next(one for one in rest if one is not leader), "four")
    until(lambda: all(knows(one, "three", "five", "four") for one in rest))
    assert leader.health()["term"] == term
    assert "4 servers vote" in "".join(one.log.read_text() for one in rest)


def test_a_zone_finds_servers_that_replaced_all_that_a_member_knew(zone: OnedZone) -> None:
    """A server that was down meanwhile is called by servers it never heard of."""
    zone.start()
    late = zone.followers()[0]
    number = zone.servers.index(late)
    late.kill()
    for new in (3, 4):
        zone.add().start().ready()
        until(lambda: new in voters(zone))  # noqa: B023
    for old in sorted({0, 1, 2} - {number}):
        through = zone.leader()
        assert through.call("one.zone.delserver", 0, old)[0] is True
        until(lambda: zone.servers[old].health().get("role") == "removed")  # noqa: B023
        zone.servers[old].kill()
    write(zone.leader(), "meanwhile")

    late.start()

    until(lambda: late.health().get("serving") and knows(late, "meanwhile"))
    assert late.health()["voters"] == sorted((number, 3, 4))
