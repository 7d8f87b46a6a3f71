"""The life of an image: which driver action its row asks for, and what its result makes of it.

An image's `task` names the action; it is set when the image enters a state that needs one and cleared by its result.
Which states these are, and where success and failure lead, is in the tables below.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.datastore import DATASTORES
from services.oned_lite.model.image import IMAGES, Image, ImageState
from services.oned_lite.model.quota import DATASTORE_QUOTA
from services.oned_lite.model.removal import remove
from services.oned_lite.model.times import stamp
from services.oned_lite.policy import quotas
from services.oned_lite.policy.quotas import Charge
from services.oned_lite.state import Reader, Transaction

from . import vm_cloning
from .work import Duty, Step, Work, WorkKey, WorkResult

COPY, MAKE, CLONE, REMOVE = "cp", "mkfs", "clone", "rm"
SNAPSHOT_DELETE, SNAPSHOT_REVERT, SNAPSHOT_FLATTEN = "snap_delete", "snap_revert", "snap_flatten"
CREATIONS = frozenset({COPY, MAKE, CLONE})
SNAPSHOT_TASKS = frozenset({SNAPSHOT_DELETE, SNAPSHOT_REVERT, SNAPSHOT_FLATTEN})
CLONABLE = frozenset({ImageState.READY, ImageState.CLONE, ImageState.USED})
NO_IMAGE = -1
COPY_DEADLINE_S = 24 * 3600.0
"""A large image on a slow path takes its time; a driver that hangs is noticed by its own deadlines."""

MADE: dict[ImageState, ImageState] = {
    ImageState.LOCKED: ImageState.READY,
    ImageState.LOCKED_USED: ImageState.USED,
    ImageState.LOCKED_USED_PERS: ImageState.USED_PERS,
}
"""Where an image goes when its driver has made it."""

WHAT_FAILED = {
    COPY: "Error copying image in the datastore",
    MAKE: "Error creating datablock",
    CLONE: "Error cloning from Image",
    REMOVE: "Error removing image from datastore",
    SNAPSHOT_DELETE: "Error removing snapshot",
    SNAPSHOT_REVERT: "Error reverting snapshot",
    SNAPSHOT_FLATTEN: "Error flattening snapshot",
}


class ImageFault(Exception):
    """Why an image cannot be had, in oned's words; the caller says in which call."""


# ---------------------------------------------------------------------- what it counts for
def space(datastore_id: int, size: int, images: int = 1) -> Charge:
    """`size` MB and `images` images in a datastore, as quotas count them."""
    return Charge(DATASTORE_QUOTA, datastore_id, {"IMAGES": images, "SIZE": size})


def charges(image: Image) -> list[Charge]:
    """What the image counts for its owner: its size and that of its snapshots."""
    snapshots = 0 if image.snapshots is None else image.snapshots.total_size
    return [space(image.datastore_id, image.size + snapshots)]


def recharge(tx: Transaction, before: Image, after: Image) -> None:
    """Counts a change of size, which a driver has found out or made: it is not asked whether it may."""
    quotas.remove(tx, before, charges(before))
    quotas.add(tx, after, charges(after))


# ---------------------------------------------------------------------- entering states that need work
def in_state(image: Image, state: ImageState) -> Image:
    """The image in that state; oned writes PREV_STATE along with it."""
    return replace(image, state=state, prev_state=state, step=image.step + 1)


def with_task(image: Image, state: ImageState, task: str, *, target_snapshot: int = -1) -> Image:
    return replace(in_state(image, state), task=task, target_snapshot=target_snapshot)


def begin_clone(tx: Transaction, source: Image, clone_id: int) -> None:
    """Image `source` is being copied to image `clone_id`: a persistent one is set aside, another counts as used."""
    tx.put(IMAGES.table, replace(_copied_by(source), clone_ids=_with(source.clone_ids, clone_id)))


def begin_export(tx: Transaction, source: Image, app_id: int) -> None:
    """Image `source` is being copied to marketplace app `app_id`."""
    tx.put(IMAGES.table, replace(_copied_by(source), app_clone_ids=_with(source.app_clone_ids, app_id)))


def _copied_by(source: Image) -> Image:
    state = ImageState.CLONE if source.persistent else ImageState.USED
    return replace(in_state(source, state), cloning_ops=source.cloning_ops + 1)


def _with(oids: tuple[int, ...], oid: int) -> tuple[int, ...]:
    return tuple(sorted({*oids, oid}))


def end_clone(tx: Transaction, source_id: int, clone_id: int) -> None:
    """Image `clone_id` no longer reads from image `source_id`."""
    source = tx.get(IMAGES.table, source_id)
    if source is not None and clone_id in source.clone_ids:
        kept = tuple(one for one in source.clone_ids if one != clone_id)
        tx.put(IMAGES.table, _freed(replace(source, clone_ids=kept)))


def end_export(tx: Transaction, source_id: int, app_id: int) -> None:
    """App `app_id` no longer reads from image `source_id`."""
    source = tx.get(IMAGES.table, source_id)
    if source is not None and app_id in source.app_clone_ids:
        kept = tuple(one for one in source.app_clone_ids if one != app_id)
        tx.put(IMAGES.table, _freed(replace(source, app_clone_ids=kept)))


def _freed(source: Image) -> Image:
    source = replace(source, cloning_ops=max(0, source.cloning_ops - 1))
    if source.cloning_ops or source.running_vms or source.state not in (ImageState.CLONE, ImageState.USED):
        return source
    return in_state(source, ImageState.READY)


# ---------------------------------------------------------------------- work
def required(reader: Reader, image: Image, _conf: Configuration) -> Sequence[Work]:
    datastore = reader.get(DATASTORES.table, image.datastore_id)
    if datastore is None:
        return ()
    if image.task == CLONE and _is_unmade(reader, image.cloning_id):
        return ()
    arguments = {
        "ACTION": image.task,
        "BASE_PATH": datastore.base_path,
        "PATH": image.path,
        "SOURCE": image.source,
        "SIZE": str(image.size),
        "FORMAT": image.format,
        "FS": image.fs,
        "REGTIME": str(image.regtime),
        "SNAPSHOT": str(image.target_snapshot),
        "SAFE_DIRS": datastore.template.get("SAFE_DIRS"),
        "RESTRICTED_DIRS": datastore.template.get("RESTRICTED_DIRS"),
    }
    return (
        Work(
            key=WorkKey(IMAGES.table.name, image.oid, image.step, image.task),
            driver=f"ds/{datastore.ds_mad}",
            arguments=tuple(arguments.items()),
            timeout_s=COPY_DEADLINE_S,
        ),
    )


def _is_unmade(reader: Reader, oid: int) -> bool:
    """A clone of a clone waits for the first to be made."""
    source = reader.get(IMAGES.table, oid)
    return source is not None and source.task in CREATIONS


def finished(step: Step, work: Work, result: WorkResult) -> None:
    image = step.tx.get(IMAGES.table, work.key.oid)
    if image is None or (image.task, image.step) != (work.key.action, work.key.step):
        return
    handler = _removed if image.task == REMOVE else _snapshot_done if image.task in SNAPSHOT_TASKS else _made
    handler(step, replace(image, task=""), work, result)


def _made(step: Step, image: Image, work: Work, result: WorkResult) -> None:
    before, cloned_from = image, image.cloning_id
    image = replace(image, cloning_id=NO_IMAGE)
    if result.ok:
        image = replace(image, source=result.value("SOURCE"), format=result.value("FORMAT", image.format))
        image = replace(image, size=int(result.value("SIZE", str(image.size))))
        image = in_state(image, MADE.get(image.state, image.state))
        recharge(step.tx, before, image)
    else:
        image = with_error(in_state(image, ImageState.ERROR), work.key.action, result.message, step.tx.now)
    step.tx.put(IMAGES.table, image)
    if cloned_from >= 0:
        end_clone(step.tx, cloned_from, image.oid)
    for vm_id in image.vm_ids:
        vm_cloning.image_changed(step.tx, vm_id)


def _removed(step: Step, image: Image, work: Work, result: WorkResult) -> None:
    """The row goes when the file is gone; with force it goes anyway."""
    if result.ok or image.template.get_bool("FORCE_DELETE", False):
        forget(step.tx, image)
        return
    image = with_error(in_state(image, ImageState.ERROR), work.key.action, result.message, step.tx.now)
    step.tx.put(IMAGES.table, image)


def forget(tx: Transaction, image: Image) -> None:
    """Takes an image out of the pool. What it was being copied from is free again."""
    remove(tx, IMAGES, image.oid)
    quotas.remove(tx, image, charges(image))
    if image.cloning_id >= 0:
        end_clone(tx, image.cloning_id, image.oid)


SNAPSHOT_DONE: dict[str, Callable[[Image], Image]] = {
    SNAPSHOT_DELETE: lambda image: replace(
        image, snapshots=image.snapshots and image.snapshots.deleted(image.target_snapshot)
    ),
    SNAPSHOT_REVERT: lambda image: replace(
        image, snapshots=image.snapshots and image.snapshots.reverted(image.target_snapshot)
    ),
    SNAPSHOT_FLATTEN: lambda image: replace(image, snapshots=None),
}


def _snapshot_done(step: Step, image: Image, work: Work, result: WorkResult) -> None:
    """The image is ready again either way; a failure leaves its snapshots as they were."""
    if result.ok:
        before = image
        image = SNAPSHOT_DONE[work.key.action](image)
        recharge(step.tx, before, image)
    else:
        image = with_error(image, work.key.action, result.message, step.tx.now)
    step.tx.put(IMAGES.table, in_state(replace(image, target_snapshot=-1), ImageState.READY))


def with_error(image: Image, task: str, message: str, now: int) -> Image:
    """With ERROR in the template: when it was, what failed, and the driver's reason."""
    reason = f": {message}" if message else "."
    text = f"{stamp(now)} : {WHAT_FAILED[task]}{reason}"
    return replace(image, template=image.template.with_set("ERROR", text))


DUTY = Duty(IMAGES.table, required, finished)
