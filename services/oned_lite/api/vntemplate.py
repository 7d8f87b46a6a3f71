"""one.vntemplate.*: templates of virtual networks."""

from __future__ import annotations

from services.common.template import Template
from services.oned_lite.lifecycle.vnet_create import VnetFault, check_mandatory
from services.oned_lite.model.cluster import CLUSTERS, DEFAULT_CLUSTER
from services.oned_lite.model.errors import ApiError, ErrorCode, internal
from services.oned_lite.model.errors import allocate as cannot_allocate
from services.oned_lite.model.numbers import is_whole
from services.oned_lite.model.objects import ObjectType
from services.oned_lite.model.removal import remove
from services.oned_lite.model.vntemplate import VNTEMPLATES, VnTemplate
from services.oned_lite.policy.authorization import Right
from services.oned_lite.policy.restricted import first_changed

from . import shared, vn
from .call import Call
from .method import MethodTable
from .shared.allocation import check_new_name, new_name_fault, new_permissions, parsed
from .shared.register import register, register_pool
from .vn import RESTRICTED

METHODS = MethodTable("one.vntemplate")
POOL_METHODS = MethodTable("one.vntemplatepool")

register(METHODS, VNTEMPLATES, "info", "rename", "chown", "chmod", "lock", "unlock")
register_pool(POOL_METHODS, VNTEMPLATES)


@METHODS.add("allocate")
def allocate(call: Call, text: str) -> int:
    """What the network's driver needs must be there; that there is such a driver turns out when a network is made."""
    template = parsed(text)
    call.create(ObjectType.VNTEMPLATE)
    name = check_new_name(call, VNTEMPLATES, template.get("NAME"))
    if not template.get("VN_MAD"):
        raise internal("Error inserting Template in DB. VN_MAD is mandatory")
    try:
        check_mandatory(template)
    except VnetFault as fault:
        raise internal(str(fault)) from None
    return _new(call, name, template.without("NAME"))


def _new(call: Call, name: str, template: Template) -> int:
    row = VnTemplate(
        oid=call.next_oid(VNTEMPLATES),
        name=name,
        uid=call.caller.uid,
        gid=call.caller.gid,
        uname=call.caller.name,
        gname=call.caller.gname,
        permissions=new_permissions(call),
        template=template,
        regtime=call.tx.now,
    )
    return call.tx.put(VNTEMPLATES.table, row).oid


@METHODS.add("update")
def update(call: Call, oid: int, text: str, append: int = 0) -> int:
    return shared.update(call, VNTEMPLATES, oid, text, append, restricted=RESTRICTED)


@METHODS.add("clone")
def clone(call: Call, oid: int, name: str, recursive: bool = False) -> int:
    """`recursive` means nothing here."""
    row = VNTEMPLATES.get(call.tx, oid)
    call.authorize().need(Right.USE, VNTEMPLATES, row).create(ObjectType.VNTEMPLATE).check()
    fault = new_name_fault(call, VNTEMPLATES, name)
    if fault is not None:
        raise cannot_allocate(VNTEMPLATES.title, fault)
    return _new(call, name, row.template)


@METHODS.add("delete")
def delete(call: Call, oid: int, recursive: bool = False) -> int:
    """`recursive` means nothing here."""
    call.fetch(VNTEMPLATES, oid, Right.MANAGE)
    remove(call.tx, VNTEMPLATES, oid)
    return oid


@METHODS.add("instantiate")
def instantiate(call: Call, oid: int, name: str, extra_template: str) -> int:
    """The new network's id. Who may use the template needs no right to create networks."""
    row = VNTEMPLATES.get(call.tx, oid)
    extra = parsed(extra_template).without("NAME")
    authorization = call.authorize().need(Right.USE, VNTEMPLATES, row)
    if not call.caller.is_admin:
        found = first_changed(extra, row.template, call.conf.restricted(RESTRICTED))
        if found is not None:
            authorization.deny(f"User Template includes a restricted attribute {found}")
    authorization.check()
    template = row.template.merge(extra).with_set("TEMPLATE_ID", str(oid))
    try:
        return vn.create(call, template, _clusters(call, template), name=name, default=row.name).oid
    except ApiError as error:
        if error.code is not ErrorCode.INTERNAL:
            raise
        refused = cannot_allocate(VNTEMPLATES.title, error.message)
        refused.keeps_changes = error.keeps_changes
        raise refused from None


def _clusters(call: Call, template: Template) -> tuple[int, ...]:
    """Those in CLUSTER_IDS that there are, else the default one."""
    asked = {int(part) for part in template.get("CLUSTER_IDS").replace(" ", "").split(",") if is_whole(part)}
    found = tuple(oid for oid in sorted(asked) if call.tx.get(CLUSTERS.table, oid) is not None)
    return found or (DEFAULT_CLUSTER,)
