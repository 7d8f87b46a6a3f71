"""Snapshots of a disk: a tree that stays one whatever is made, deleted and gone back to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.oned_lite.model.snapshots import NO_SNAPSHOT, Orphans, Snapshots

STEPS = st.lists(st.tuples(st.sampled_from(("create", "delete", "revert")), st.integers(0, 6)), max_size=40)


@given(STEPS, st.sampled_from(list(Orphans)))
def test_parents_and_children_always_name_each_other(steps: list[tuple[str, int]], orphans: Orphans) -> None:
    held = Snapshots(orphans=orphans)
    for verb, oid in steps:
        if verb == "create":
            held = held.created("", 10, 0)
        elif verb == "delete" and held.disk_delete_fault(oid) is None:
            held = held.deleted(oid)
        elif verb == "revert" and held.get(oid) is not None:
            held = held.reverted(oid)
    by_id = {item.oid: item for item in held.items}
    assert held.active == NO_SNAPSHOT or held.active in by_id
    for item in held.items:
        assert all(by_id[child].parent == item.oid for child in item.children)
        if item.parent != NO_SNAPSHOT:
            assert item.oid in by_id[item.parent].children


def test_a_deleted_snapshot_hands_its_child_to_its_parent() -> None:
    held = Snapshots().created("a", 1, 0).created("b", 1, 0).created("c", 1, 0).deleted(1)
    assert [(item.oid, item.parent, item.children) for item in held.items] == [(0, -1, (2,)), (2, 0, ())]


def test_an_images_snapshot_goes_only_as_an_inactive_leaf() -> None:
    held = Snapshots().created("a", 1, 0).created("b", 1, 0)
    assert held.image_delete_fault(0) == "Cannot delete snapshot with children"
    assert held.image_delete_fault(1) == "Cannot delete the active snapshot"
    assert held.reverted(0).image_delete_fault(1) is None
