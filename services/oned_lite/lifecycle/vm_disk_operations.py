"""What becomes of attaching, detaching, resizing, snapshotting and saving a disk, once the transfer driver has answered."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from services.common.template import Vector
from services.oned_lite.model.image import IMAGES, ImageState
from services.oned_lite.model.snapshots import Snapshots
from services.oned_lite.model.vm import Vm
from services.oned_lite.model.vm_states import HistoryAction

from . import image_use
from .image import in_state
from .vm_editor import VmEditor
from .vm_operations import OPERATIONS, Operation
from .work import WorkResult


def find_disk(vm: Vm, disk_id: int) -> Vector | None:
    return next((disk for disk in vm.template.vectors("DISK") if disk.get_int("DISK_ID") == disk_id), None)


def put_disk(e: VmEditor, changed: Vector) -> None:
    """Exchanges the disk of the same DISK_ID."""
    disk_id = changed.get("DISK_ID")
    disks = [changed if disk.get("DISK_ID") == disk_id else disk for disk in e.vm.template.vectors("DISK")]
    e.set_template(e.vm.template.with_set("DISK", *disks))


def snapshots_of(vm: Vm, disk_id: int) -> Snapshots | None:
    return next((held for one, held in vm.disk_snapshots if one == disk_id), None)


def put_snapshots(e: VmEditor, disk_id: int, held: Snapshots | None) -> None:
    """The disk's snapshots (None: it has none any more), and their total size in the disk."""
    others = [(one, kept) for one, kept in e.vm.disk_snapshots if one != disk_id]
    mine = [] if held is None else [(disk_id, held)]
    e.put(disk_snapshots=tuple(sorted([*others, *mine], key=lambda one: one[0])))
    disk = find_disk(e.vm, disk_id)
    if disk is not None and held is not None:
        put_disk(e, disk.with_set("DISK_SNAPSHOT_TOTAL_SIZE", str(held.total_size)))


def _disk_in_hand(e: VmEditor) -> Vector | None:
    return find_disk(e.vm, e.vm.operation.get_int("DISK_ID", -1))


def _remove_disk(e: VmEditor, _result: WorkResult) -> None:
    """A disk that was taken away, or never came."""
    disk = _disk_in_hand(e)
    if disk is None:
        return
    disk_id = disk.get_int("DISK_ID", -1)
    image_use.release_disk(e.tx, e.vm, disk)
    e.set_template(e.vm.template.with_set("DISK", *(one for one in e.vm.template.vectors("DISK") if one != disk)))
    put_snapshots(e, disk_id, None)


def _resized(e: VmEditor, _result: WorkResult) -> None:
    disk = _disk_in_hand(e)
    if disk is not None:
        put_disk(e, disk.with_set("SIZE", e.vm.operation.get("SIZE")))


def _on_snapshots(change: Callable[[Snapshots, int], Snapshots]) -> Callable[[VmEditor, WorkResult], None]:
    def finish(e: VmEditor, _result: WorkResult) -> None:
        disk_id = e.vm.operation.get_int("DISK_ID", -1)
        held = snapshots_of(e.vm, disk_id)
        if held is not None:
            put_snapshots(e, disk_id, change(held, e.vm.operation.get_int("SNAPSHOT_ID", -1)))

    return finish


_snapshot_gone = _on_snapshots(lambda held, oid: held.deleted(oid))
_snapshot_back = _on_snapshots(lambda held, oid: held.reverted(oid))


def _saved(e: VmEditor, result: WorkResult) -> None:
    image = e.tx.get(IMAGES.table, e.vm.operation.get_int("IMAGE_ID", -1))
    if image is not None:
        e.tx.put(IMAGES.table, in_state(replace(image, source=result.value("SOURCE")), ImageState.READY))


def _not_saved(e: VmEditor, _result: WorkResult) -> None:
    image = e.tx.get(IMAGES.table, e.vm.operation.get_int("IMAGE_ID", -1))
    if image is not None:
        e.tx.put(IMAGES.table, in_state(image, ImageState.ERROR))


OPERATIONS.update(
    {
        "disk-attach": Operation("tm", "disk_attach", HistoryAction.DISK_ATTACH, fail=_remove_disk),
        "disk-detach": Operation("tm", "disk_detach", HistoryAction.DISK_DETACH, succeed=_remove_disk),
        "disk-resize": Operation("tm", "disk_resize", HistoryAction.DISK_RESIZE, succeed=_resized),
        "disk-snapshot-create": Operation(
            "tm", "disk_snapshot_create", HistoryAction.DISK_SNAPSHOT_CREATE, fail=_snapshot_gone
        ),
        "disk-snapshot-revert": Operation(
            "tm", "disk_snapshot_revert", HistoryAction.DISK_SNAPSHOT_REVERT, succeed=_snapshot_back
        ),
        "disk-snapshot-delete": Operation(
            "tm", "disk_snapshot_delete", HistoryAction.DISK_SNAPSHOT_DELETE, succeed=_snapshot_gone
        ),
        "disk-saveas": Operation("tm", "disk_saveas", succeed=_saved, fail=_not_saved),
    }
)
