"""Snapshots of a disk or of an image: a tree of states that a disk can go back to."""

from __future__ import annotations

from enum import Enum

import msgspec
from msgspec.structs import replace

from .xml import text_element

NO_SNAPSHOT = -1


class Orphans(Enum):
    """ALLOW_ORPHANS of a datastore: whether a snapshot may outlive the one it was made from.

    DENY and FORMAT keep a chain of parents, ALLOW keeps none, MIXED hangs snapshots under a common base.
    """

    ALLOW = "YES"
    DENY = "NO"
    MIXED = "MIXED"
    FORMAT = "FORMAT"

    @staticmethod
    def of(text: str) -> Orphans:
        """Any other text means NO."""
        try:
            return Orphans(text.upper())
        except ValueError:
            return Orphans.DENY


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """`size` in MB, `date` in epoch seconds, `parent` -1 for none; `name` None where none was given."""

    oid: int
    name: str | None
    date: int
    size: int
    parent: int = NO_SNAPSHOT
    children: tuple[int, ...] = ()


class Snapshots(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All snapshots of one disk; `active` is the one the disk now builds upon. Every change gives a new value."""

    orphans: Orphans = Orphans.DENY
    items: tuple[Snapshot, ...] = ()
    next_oid: int = 0
    active: int = NO_SNAPSHOT
    current_base: int = NO_SNAPSHOT

    def get(self, oid: int) -> Snapshot | None:
        return next((item for item in self.items if item.oid == oid), None)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def total_size(self) -> int:
        """MB of all snapshots together (DISK_SNAPSHOT_TOTAL_SIZE)."""
        return sum(item.size for item in self.items)

    @property
    def keeps_chain(self) -> bool:
        return self.orphans in (Orphans.DENY, Orphans.FORMAT)

    # ------------------------------------------------------------------ changes
    def created(self, name: str, size: int, now: int) -> Snapshots:
        """With a new active snapshot; its id is the old `next_oid`."""
        oid = self.next_oid
        base = self.current_base
        parent = NO_SNAPSHOT
        if self.keeps_chain:
            parent = self.active
        elif self.orphans is Orphans.MIXED:
            parent = base
            base = oid if base == NO_SNAPSHOT else base
        new = Snapshot(oid, name or None, now, size, parent)
        items = (*_with_child(self.items, parent, oid), new)
        return replace(self, items=items, next_oid=oid + 1, active=oid, current_base=base)

    def deleted(self, oid: int) -> Snapshots:
        """Without one snapshot: its child, if any, moves under its parent, which becomes active if the deleted was."""
        gone = self.get(oid)
        if gone is None:
            return self
        items = _without_child(tuple(item for item in self.items if item.oid != oid), gone.parent, oid)
        for child in gone.children:
            items = tuple(replace(item, parent=gone.parent) if item.oid == child else item for item in items)
            items = _with_child(items, gone.parent, child)
        return replace(
            self,
            items=items,
            active=gone.parent if self.active == oid else self.active,
            current_base=NO_SNAPSHOT if self.current_base == oid else self.current_base,
        )

    def reverted(self, oid: int) -> Snapshots:
        """Going on from snapshot `oid`."""
        return replace(self, active=oid, current_base=oid if self.orphans is Orphans.MIXED else self.current_base)

    def renamed(self, oid: int, name: str) -> Snapshots:
        return replace(self, items=tuple(replace(item, name=name) if item.oid == oid else item for item in self.items))

    # ------------------------------------------------------------------ rules
    def image_delete_fault(self, oid: int) -> str | None:
        """Why a snapshot of an image cannot be deleted (one.image.snapshotdelete); None where it can."""
        item = self.get(oid)
        if item is None:
            return "Snapshot does not exist"
        if oid == self.active:
            return "Cannot delete the active snapshot"
        if item.children and self.keeps_chain:
            return "Cannot delete snapshot with children"
        return None

    def disk_delete_fault(self, oid: int) -> str | None:
        """Why a snapshot of a VM's disk cannot be deleted (one.vm.disksnapshotdelete)."""
        item = self.get(oid)
        if item is None:
            return "Snapshot does not exist"
        if len(item.children) > 1:
            return "Cannot delete snapshot with more than one children"
        return None

    def to_xml(self, disk_id: int | None = None) -> str:
        """`<SNAPSHOTS>`; for a disk of a VM with its DISK_ID."""
        disk = "" if disk_id is None else text_element("DISK_ID", str(disk_id))
        return (
            f"<SNAPSHOTS>{text_element('ALLOW_ORPHANS', self.orphans.value)}"
            f"{text_element('CURRENT_BASE', str(self.current_base))}{disk}"
            f"{text_element('NEXT_SNAPSHOT', str(self.next_oid))}"
            f"{''.join(self._item_xml(item) for item in self.items)}</SNAPSHOTS>"
        )

    def _item_xml(self, item: Snapshot) -> str:
        active = text_element("ACTIVE", "YES") if item.oid == self.active else ""
        children = text_element("CHILDREN", ",".join(map(str, item.children))) if item.children else ""
        name = "" if item.name is None else text_element("NAME", item.name)
        return (
            f"<SNAPSHOT>{active}{children}{text_element('DATE', str(item.date))}{text_element('ID', str(item.oid))}"
            f"{name}{text_element('PARENT', str(item.parent))}{text_element('SIZE', str(item.size))}</SNAPSHOT>"
        )


def _with_child(items: tuple[Snapshot, ...], parent: int, child: int) -> tuple[Snapshot, ...]:
    return tuple(replace(item, children=(*item.children, child)) if item.oid == parent else item for item in items)


def _without_child(items: tuple[Snapshot, ...], parent: int, child: int) -> tuple[Snapshot, ...]:
    return tuple(
        replace(item, children=tuple(one for one in item.children if one != child)) if item.oid == parent else item
        for item in items
    )
