"""one.vn.reserve: addresses of a network set aside in a network of their own."""

from __future__ import annotations

from msgspec.structs import replace

from services.common.template import Template, TemplateError, parse
from services.oned_lite.lifecycle import leases
from services.oned_lite.lifecycle.vnet import lease_charge
from services.oned_lite.lifecycle.vnet_create import VnetFault, set_up
from services.oned_lite.model import lease
from services.oned_lite.model.address_range import AddressRange
from services.oned_lite.model.errors import ApiError, ErrorCode, action, no_exists
from services.oned_lite.model.lease import Holder
from services.oned_lite.model.objects import ObjectType
from services.oned_lite.model.vnet import VNETS, Vnet
from services.oned_lite.policy import quotas
from services.oned_lite.policy.authorization import Right

from .call import Call
from .method import MethodTable
from .shared.allocation import check_new_name
from .vn import blank, refused

METHODS = MethodTable("one.vn")
SIZE_MAX = 1 << 16
"""Each address is a lease of its own: without a bound, a user who may use an IPv6 network could fill the memory."""


@METHODS.add("reserve")
def reserve(call: Call, oid: int, text: str) -> int:
    """The reservation's id: a new network named NAME, or NETWORK_ID. SIZE addresses in a row are taken, from AR_ID or any
    range, beginning with IP, IP6 or MAC or where there is room."""
    template = _parsed(text)
    parent = call.tx.get(VNETS.table, oid) if oid >= 0 else None
    if parent is None:
        raise no_exists(VNETS.title, -1)
    call.authorize().need(Right.USE, VNETS, parent).check()
    size = template.get_int("SIZE", 0)
    if size <= 0:
        raise action("Reservation SIZE must be a greater than 0")
    if size > SIZE_MAX:
        raise action(f"Reservation SIZE must not be greater than {SIZE_MAX}")
    ar_id = _checked_ar(template)
    if parent.is_reservation:
        raise action("Cannot reserve addresses from a reserved VNET")
    into = _existing(call, parent, template) if "NETWORK_ID" in template else None
    if into is None and not template.get("NAME"):
        raise action("NAME for reservation has to be set")
    charge = lease_charge(oid, size)
    row = into or _new(call, parent, template.get("NAME"))
    try:
        quotas.check(call.tx, row, [charge], caller_uid=call.caller.uid)
        row = _cut(call, parent, row, template, ar_id, size)
    except ApiError as error:
        error.keeps_changes = into is None  # the id that the reservation would have had is gone
        raise
    quotas.add(call.tx, row, [charge])
    return row.oid


def _parsed(text: str) -> Template:
    try:
        return parse(text)
    except TemplateError as error:
        raise action(str(error)) from None


def _checked_ar(template: Template) -> int | None:
    ar_id = template.get_int("AR_ID")
    if ar_id is not None and ar_id < 0:
        raise action("AR_ID must be equal or greater than 0")
    if ar_id is None and any(template.get(key) for key in leases.ADDRESS_KEYS):
        raise action("AR_ID must be specified for IP/MAC based reservations")
    return ar_id


def _existing(call: Call, parent: Vnet, template: Template) -> Vnet:
    """The reservation that is to grow."""
    oid = template.get_int("NETWORK_ID", -1)
    if oid < 0:
        raise action("NETWORK_ID must be equal or greater than 0")
    if oid == parent.oid:
        raise action("Cannot add a reservation from the same network")
    row = call.tx.get(VNETS.table, oid)
    if row is None:
        raise ApiError(ErrorCode.NO_EXISTS, f"Error getting {VNETS.title} [{oid}].", oid=oid)
    call.authorize().need(Right.MANAGE, VNETS, row).check()
    if not row.is_reservation:
        raise action("Cannot add reservations to a non-reservation VNET")
    if row.parent_id != parent.oid:
        raise action(f"New reservations for network {oid} have to be from network {row.parent_id}")
    return row


def _new(call: Call, parent: Vnet, name: str) -> Vnet:
    """A network like its parent; not stored."""
    check_new_name(call, VNETS, name)
    row = replace(blank(call, name, parent.cluster_ids), parent_id=parent.oid)
    template = parent.template.without("ERROR")
    for key, value in (("VLAN_ID", parent.vlan_id), ("OUTER_VLAN_ID", parent.outer_vlan_id)):
        template = template.with_set(key, value) if value else template
    try:
        return set_up(call.tx, call.conf, row, template)
    except VnetFault as fault:
        raise refused(str(fault), row) from None


def _cut(call: Call, parent: Vnet, row: Vnet, template: Template, ar_id: int | None, size: int) -> Vnet:
    """Moves the addresses over. Raises ACTION where they are not free."""
    one, index = _place(call, parent, template, ar_id, size)
    lease.take(call.tx, parent.oid, one.ar_id, range(index, index + size), Holder(ObjectType.NET, row.oid))
    leases.given_out(call.tx, parent, one.ar_id, index, size)
    cut = one.cut(row.next_ar_id, index, size)
    return leases.save(call.tx, replace(row, ranges=(*row.ranges, cut), next_ar_id=row.next_ar_id + 1))


def _place(call: Call, parent: Vnet, template: Template, ar_id: int | None, size: int) -> tuple[AddressRange, int]:
    ranges = [one for one in parent.ranges if ar_id in (None, one.ar_id)]
    asked = next(((key, template.get(key)) for key in leases.ADDRESS_KEYS if template.get(key)), None)
    for one in ranges:
        if asked is None:
            index = leases.first_free_run(call.tx, parent.oid, one, size)
        else:
            index = one.index_of(*asked)
            if index is not None and not leases.is_free(call.tx, parent.oid, one, index, size):
                index = None
        if index is not None:
            return one, index
    if ar_id is None:
        raise action("Not enough free addresses in an address range")
    raise action(f"Not enough free addresses in address range {ar_id}, or it does not exist")
