"""The images that a VM template's disks name: finding them, copying them, and showing what they bring to a disk."""

from __future__ import annotations

from services.common.template import Template, Vector
from services.oned_lite.lifecycle import vm_disks
from services.oned_lite.model.errors import ApiError
from services.oned_lite.model.image import IMAGES, Image
from services.oned_lite.model.objects import COUNTERS
from services.oned_lite.model.vmtemplate import TEMPLATES, VmTemplate
from services.oned_lite.state.transaction import Savepoint

from .call import Call
from .image import copied

NAMING = ("IMAGE", "IMAGE_ID", "IMAGE_UID", "IMAGE_UNAME")


class CopyFault(Exception):
    """Why an image of a template could not be copied."""


def images_of(call: Call, template: Template) -> list[Image]:
    """Images named by the DISKs, each once, in order; disks that name none that exists are passed over."""
    found: dict[int, Image] = {}
    for disk in template.vectors("DISK"):
        image = _image_of(call, disk)
        if image is not None:
            found.setdefault(image.oid, image)
    return list(found.values())


def _image_of(call: Call, disk: Vector) -> Image | None:
    try:
        return vm_disks.image_of(call.tx, disk, call.caller.uid)
    except ApiError:
        return None


def extended(call: Call, template: Template) -> Template:
    """The template with numbered disks, completed from their images and datastores."""
    disks = (_extended_disk(call, number, disk) for number, disk in enumerate(template.vectors("DISK")))
    return template.with_set("DISK", *disks)


def _extended_disk(call: Call, number: int, disk: Vector) -> Vector:
    image = _image_of(call, disk)
    if image is None:
        return disk.with_set("DISK_ID", str(number))
    chosen = {"TARGET": disk.get("TARGET")} if disk.has("TARGET") else {}  # says nothing of the prefix here
    return vm_disks.from_image(call.tx, call.conf, disk.without("TARGET"), number, image).merged(chosen)


def with_copies(call: Call, row: VmTemplate, persistent: bool | None) -> Template:
    """The template with each disk's image replaced by a copy of the caller's: NAME-disk-0, NAME-disk-1 …

    Raises CopyFault.
    """
    disks = []
    for number, disk in enumerate(row.template.vectors("DISK")):
        try:
            image = vm_disks.image_of(call.tx, disk, call.caller.uid)
        except ApiError:
            raise CopyFault("") from None
        if image is not None:
            copy = _copy(call, image, f"{row.name}-disk-{number}", persistent)
            disk = disk.without(*NAMING).with_set("IMAGE_ID", str(copy.oid))
        disks.append(disk)
    return row.template.with_set("DISK", *disks)


def _copy(call: Call, image: Image, name: str, persistent: bool | None) -> Image:
    try:
        return copied(call, image.oid, name, persistent=persistent)
    except ApiError as error:
        prefix = f"Error allocating a new {IMAGES.title}. "
        raise CopyFault(error.message.removeprefix(prefix)) from None


def keep_ids_only(call: Call, before: Savepoint) -> None:
    """Takes back all that was made since `before` but the ids: oned deletes what it had made, and ids are not used
    twice."""
    counters = [call.tx.get(COUNTERS, kind.table.name) for kind in (TEMPLATES, IMAGES)]
    call.tx.roll_back(before)
    for counter in counters:
        if counter is not None:
            call.tx.put(COUNTERS, counter)
