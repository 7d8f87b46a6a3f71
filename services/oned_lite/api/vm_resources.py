"""Rights on what a VM template names: images, networks and security groups to USE."""

from __future__ import annotations

from services.common.template import Template, Vector
from services.oned_lite.lifecycle import security_groups
from services.oned_lite.lifecycle.leases import network_of
from services.oned_lite.lifecycle.vm_disks import image_of
from services.oned_lite.lifecycle.vm_membership import group_of
from services.oned_lite.model.errors import ApiError
from services.oned_lite.model.image import IMAGES
from services.oned_lite.model.secgroup import SECGROUPS
from services.oned_lite.model.vmgroup import VMGROUPS
from services.oned_lite.model.vnet import VNETS
from services.oned_lite.policy.authorization import Authorization, Right
from services.oned_lite.policy.restricted import first_restricted

from .call import Call

RESTRICTED = "VM_RESTRICTED_ATTR"


def need_named(call: Call, authorization: Authorization, template: Template) -> None:
    """Adds USE of everything named. What does not exist is nobody's to allow: that comes up when it is taken."""
    for disk in template.vectors("DISK"):
        try:
            image = image_of(call.tx, disk, call.caller.uid)
        except ApiError:
            continue
        if image is not None:
            authorization.need(Right.USE, IMAGES, image)
    for nic in (*template.vectors("NIC"), *template.vectors("NIC_ALIAS"), *template.vectors("PCI")):
        _need_network(call, authorization, nic)
    wanted = template.vector("VMGROUP")
    group = None if wanted is None else group_of(call.tx, wanted, call.caller.uid)
    if group is not None:
        authorization.need(Right.USE, VMGROUPS, group)


def _need_network(call: Call, authorization: Authorization, nic: Vector) -> None:
    if not nic.get("NETWORK_ID") and not nic.get("NETWORK"):
        return
    try:
        authorization.need(Right.USE, VNETS, network_of(call.tx, nic, call.caller.uid))
    except ApiError:
        return
    for oid in security_groups.ids_of(nic):
        group = call.tx.get(SECGROUPS.table, oid)
        if group is not None:
            authorization.need(Right.USE, SECGROUPS, group)


def deny_restricted(call: Call, authorization: Authorization, template: Template) -> None:
    """Adds a refusal where a plain user gives what only administrators may."""
    if not call.caller.is_admin:
        found = first_restricted(template, call.conf.restricted(RESTRICTED))
        if found is not None:
            authorization.deny(f"VM Template includes a restricted attribute {found}")
