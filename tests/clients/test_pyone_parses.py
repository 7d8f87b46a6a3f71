"""pyone, unmodified, turns every info and pool answer into its objects (bindings generated from the XSDs)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyone
import pytest
from pyone import bindings

from tests.clients.world import Asked, World, faults
from tests.support.oned import SESSION

pytestmark = [pytest.mark.xdist_group("clients"), pytest.mark.timeout(120)]


@pytest.fixture
def one(world: World) -> Iterator[Any]:
    server = pyone.OneServer(f"http://127.0.0.1:{world.oned.port}/RPC2", session=SESSION)
    yield server
    server("close")()


def parsed(asked: Asked) -> str:
    if not str(asked.answer).startswith("<"):
        return ""
    try:
        built = bindings.parseString(asked.answer.encode())
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "" if built is not None else "no object"


def test_every_info_and_pool_answer_becomes_objects(answers: list[Asked]) -> None:
    assert len(answers) > 80
    assert not faults(answers, parsed)


def test_a_vm_carries_its_disks_nics_snapshots_history_and_backups(one: Any, world: World) -> None:
    vm = one.vm.info(world.oids["busy"])
    assert (vm.STATE, vm.LCM_STATE) == (pyone.VM_STATE.ACTIVE, pyone.LCM_STATE.RUNNING)
    assert [int(record.SEQ) for record in vm.HISTORY_RECORDS.HISTORY] == list(range(len(vm.HISTORY_RECORDS.HISTORY)))
    assert vm.HISTORY_RECORDS.HISTORY[-1].HOSTNAME == "node2"
    assert {disk["DISK_ID"] for disk in vm.TEMPLATE["DISK"]} == {"0", "1", "3"}
    assert [one["NAME"] for one in vm.TEMPLATE["SNAPSHOT"]] == ["before <upgrade>"]
    assert [snapshot.NAME for one in vm.SNAPSHOTS for snapshot in one.SNAPSHOT] == ["first"]
    assert len(vm.BACKUPS.BACKUP_IDS.ID) == 1
    assert len(vm.TEMPLATE["SCHED_ACTION"]) == 2
    assert vm.USER_TEMPLATE["NOTE"] == 'quotes " and <tags>'


def test_lists_hold_what_info_shows_one_by_one(one: Any, world: World) -> None:
    pool = one.vmpool.info(-2, -1, -1, -1).VM
    assert {vm.ID for vm in pool} >= {world.oids["running"], world.oids["hold"], world.oids["pending"]}
    assert world.oids["terminate-hard"] not in {vm.ID for vm in pool}
    for vm in pool:
        alone = one.vm.info(vm.ID)
        assert (vm.NAME, vm.STATE, vm.UID, vm.STIME) == (alone.NAME, alone.STATE, alone.UID, alone.STIME)


def test_text_of_every_sort_comes_through(one: Any, world: World) -> None:
    text = "Ünïcödé & <b>\"quotes\"</b> 'single' — \t tab ]] > end"
    one.vm.update(world.oids["hold"], {"TEMPLATE": {"FREE_TEXT": text}}, 1)
    assert one.vm.info(world.oids["hold"]).USER_TEMPLATE["FREE_TEXT"] == text


def test_quotas_of_users_and_groups_are_objects(one: Any, world: World) -> None:
    user = one.user.info(world.oids["alice"])
    assert user.VM_QUOTA.VM.VMS == "50"
    assert [quota.ID for quota in user.DATASTORE_QUOTA.DATASTORE] == ["1"]
    assert one.group.info(world.oids["group"]).VM_QUOTA.VM.MEMORY == 100000
