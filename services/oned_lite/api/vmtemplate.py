"""one.template.*: VM templates."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from services.common.template import Template
from services.oned_lite.model.errors import ApiError, ErrorCode
from services.oned_lite.model.errors import allocate as cannot_allocate
from services.oned_lite.model.image import IMAGES
from services.oned_lite.model.objects import ObjectType
from services.oned_lite.model.removal import remove
from services.oned_lite.model.vmtemplate import TEMPLATES, VmTemplate
from services.oned_lite.policy import secrets
from services.oned_lite.policy.authorization import Right
from services.oned_lite.policy.restricted import first_restricted

from . import shared, template_images
from .call import Call
from .image import begin_delete
from .method import MethodTable, read_late
from .shared.allocation import check_new_name, new_name_fault, new_permissions, parsed
from .shared.register import register, register_chmod, register_pool

METHODS = MethodTable("one.template")
POOL_METHODS = MethodTable("one.templatepool")
RESTRICTED = "VM_RESTRICTED_ATTR"

register(METHODS, TEMPLATES, "rename", "chown", "lock", "unlock")
register_pool(POOL_METHODS, TEMPLATES)


@METHODS.add("allocate")
def allocate(call: Call, text: str) -> int:
    """NAME is required and unique per owner; restricted attributes are refused to plain users."""
    template = parsed(text)
    authorization = call.authorize().create(ObjectType.TEMPLATE)
    if not call.caller.is_admin:
        found = first_restricted(template, call.conf.restricted(RESTRICTED))
        if found is not None:
            authorization.deny(f"VM Template includes a restricted attribute {found}")
    authorization.check()
    name = check_new_name(call, TEMPLATES, template.get("NAME"))
    return new_template(call, name, template.without("NAME")).oid


def new_template(call: Call, name: str, template: Template) -> VmTemplate:
    """A template of the caller's, stored."""
    row = VmTemplate(
        oid=call.next_oid(TEMPLATES),
        name=name,
        uid=call.caller.uid,
        gid=call.caller.gid,
        uname=call.caller.name,
        gname=call.caller.gname,
        permissions=new_permissions(call),
        template=secrets.sealed(call.tx, call.conf, TEMPLATES.encrypted, template),
        regtime=call.tx.now,
    )
    return call.tx.put(TEMPLATES.table, row)


@METHODS.read("info")
def info(call: Call, oid: int, extended: bool = False, decrypt: bool = False) -> str:
    """`extended` completes the disks with what their images say, and asks USE on those images too."""
    row = TEMPLATES.get(call.tx, oid)
    authorization = call.authorize().need(Right.USE, TEMPLATES, row, ignore_lock=True)
    if extended:
        for image in template_images.images_of(call, row.template):
            authorization.need(Right.USE, IMAGES, image, ignore_lock=True)
    authorization.check()
    if extended:
        row = msgspec.structs.replace(row, template=template_images.extended(call, row.template))
    if read_late(decrypt) and call.caller.is_admin:
        plain = secrets.opened(call.tx, call.conf, TEMPLATES.encrypted, row.template)
        row = msgspec.structs.replace(row, template=plain)
    return TEMPLATES.info_xml(call.tx, row)


@METHODS.add("update")
def update(call: Call, oid: int, text: str, append: int = 0) -> int:
    return shared.update(call, TEMPLATES, oid, text, append, restricted=RESTRICTED)


@METHODS.add("clone")
def clone(call: Call, oid: int, name: str, recursive: bool = False) -> int:
    """`recursive` copies the images of its disks too, and takes the copies back where one fails."""
    return cloned(call, oid, name, recursive=recursive).oid


def cloned(
    call: Call,
    oid: int,
    name: str,
    *,
    recursive: bool,
    persistent: bool | None = None,
    extra: Template | None = None,
) -> VmTemplate:
    """A copy of template `oid` for the caller, with `extra` merged into it. `persistent` is what the copies of its images
    shall be, None as theirs."""
    row = TEMPLATES.get(call.tx, oid)
    call.authorize().create(ObjectType.TEMPLATE).need(Right.USE, TEMPLATES, row).check()
    fault = new_name_fault(call, TEMPLATES, name)
    if fault is not None:
        raise cannot_allocate(TEMPLATES.title, fault)
    before = call.tx.savepoint()
    copy = new_template(call, name, row.template if extra is None else row.template.merge(extra))
    if not recursive:
        return copy
    try:
        template = template_images.with_copies(call, copy, persistent)
    except template_images.CopyFault as fault:
        template_images.keep_ids_only(call, before)
        raise ApiError(ErrorCode.ACTION, f"Failed to clone images: {fault}", keeps_changes=True) from None
    return call.tx.put(TEMPLATES.table, msgspec.structs.replace(copy, template=template))


@METHODS.add("delete")
def delete(call: Call, oid: int, recursive: bool = False) -> int:
    """`recursive` deletes the images of its disks as far as the caller may and nobody uses them."""
    row = call.fetch(TEMPLATES, oid, Right.MANAGE)
    remove(call.tx, TEMPLATES, oid)
    if recursive:
        for image in template_images.images_of(call, row.template):
            if call.authorize().need(Right.MANAGE, IMAGES, image).passed:
                _delete_unused(call, image.oid)
    return oid


def _delete_unused(call: Call, oid: int) -> None:
    before = call.tx.savepoint()
    try:
        begin_delete(call, IMAGES.get(call.tx, oid))
    except ApiError:
        call.tx.roll_back(before)


def _chmod(call: Call, oid: int, bits: Sequence[int], recursive: bool) -> int:
    """`recursive` changes the images of its disks too; those that cannot be changed are named, the rest stays changed."""
    shared.chmod(call, TEMPLATES, oid, bits)
    if not recursive:
        return oid
    failed = []
    for image in template_images.images_of(call, TEMPLATES.get(call.tx, oid).template):
        try:
            shared.chmod(call, IMAGES, image.oid, bits)
        except ApiError:
            failed.append(str(image.oid))
    if failed:
        raise ApiError(ErrorCode.ACTION, f"Cannot chmod image: {','.join(failed)}", keeps_changes=True)
    return oid


register_chmod(METHODS, _chmod)
