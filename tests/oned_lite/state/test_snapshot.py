"""A snapshot is the state of one moment, whatever is written while it is made, and tells when it did not arrive whole."""

from __future__ import annotations

import msgspec
import pytest

from services.oned_lite.api.catalogue import TABLES
from services.oned_lite.model.vmtemplate import TEMPLATES, VmTemplate
from services.oned_lite.state import Change, ChangeSet, Snapshot, SnapshotMaker, Store
from services.oned_lite.state.snapshot import BLOCK_ROWS

ROWS = 2 * BLOCK_ROWS + 5


def template(oid: int, name: str) -> Change:
    return Change("template_pool", oid, TEMPLATES.table.encode(VmTemplate(oid=oid, name=name, regtime=1)))


def filled() -> Store:
    store = Store(TABLES)
    store.load(7, [template(oid, f"t{oid}") for oid in range(ROWS)])
    return store


def loaded(snapshot: Snapshot) -> Store:
    store = Store(TABLES)
    for block in snapshot.blocks():
        store.extend(block)
    return store


def test_what_is_written_while_it_is_made_is_not_in_it() -> None:
    store = filled()
    maker = SnapshotMaker(store)
    state_hash = store.state_hash
    steps = 0
    while maker.step():
        steps += 1
        changes = (
            template(steps, "changed"),
            template(ROWS + steps, "new"),
            Change("template_pool", ROWS - steps, None),
        )
        store.apply(7 + steps, ChangeSet(0, "test", changes))
    snapshot = Snapshot(maker.data())

    assert steps == 3
    assert (snapshot.index, snapshot.state_hash) == (7, state_hash)
    assert loaded(snapshot).state_hash == state_hash
    assert [change.key for change in snapshot] == list(range(ROWS))


def test_a_store_that_took_over_another_goes_on_like_it() -> None:
    store, other = filled(), filled()
    other.apply(8, ChangeSet(0, "test", (template(3, "other"),)))
    store.replace_by(other)
    same = filled()
    for one in (store, same):
        one.apply(8, ChangeSet(0, "test", (template(3, "other"),)))
        one.apply(9, ChangeSet(0, "test", (template(1, "last"), Change("template_pool", 2, None))))

    assert store.state_hash == same.state_hash
    assert store.keys(TEMPLATES.table) == same.keys(TEMPLATES.table)
    assert store.find(TEMPLATES.table, "name", (0, "other")) == [3]


def test_a_large_row_ends_a_block() -> None:
    store = Store(TABLES)
    store.load(1, [template(oid, "n" * 200_000) for oid in range(5)])
    maker = SnapshotMaker(store)
    while maker.step():
        pass
    assert [len(block) for block in Snapshot(maker.data()).blocks()] == [2, 2, 1]


@pytest.mark.parametrize("cut", [0, 3, 20, -1])
def test_what_is_cut_off_is_no_snapshot(cut: int) -> None:
    maker = SnapshotMaker(filled())
    while maker.step():
        pass
    with pytest.raises(msgspec.DecodeError):
        list(Snapshot(maker.data()[:cut]))
