"""one.market.*: marketplaces."""

from __future__ import annotations

import msgspec

from services.common.template import Template
from services.oned_lite.lifecycle.marketplace import forget_all
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.datastore_rules import driver_conf
from services.oned_lite.model.errors import action, internal
from services.oned_lite.model.marketplace import MARKETPLACES, Marketplace, app_ids
from services.oned_lite.model.objects import ObjectType
from services.oned_lite.model.removal import remove
from services.oned_lite.policy.authorization import Right

from . import shared
from .call import Call
from .method import MethodTable
from .pieces import Pieces
from .shared.allocation import new_name_fault, new_permissions, parsed
from .shared.register import register

METHODS = MethodTable("one.market")
POOL_METHODS = MethodTable("one.marketpool")

register(METHODS, MARKETPLACES, "info", "rename", "chown", "chmod")


@METHODS.add("allocate")
def allocate(call: Call, text: str) -> int:
    template = parsed(text)
    call.create(ObjectType.MARKETPLACE)
    fault = new_name_fault(call, MARKETPLACES, template.get("NAME"))
    if fault is not None:
        raise internal(fault.rstrip("."))  # the sentence on taken names has no full stop here
    if not template.get("MARKET_MAD"):
        raise internal("No marketplace driver (MARKET_MAD) in template.")
    fault = driver_fault(template, template.get("MARKET_MAD"), call.conf)
    if fault is not None:
        raise internal(fault)
    row = Marketplace(
        oid=call.next_oid(MARKETPLACES),
        name=template.get("NAME"),
        uid=call.caller.uid,
        gid=call.caller.gid,
        uname=call.caller.name,
        gname=call.caller.gname,
        permissions=new_permissions(call),
        market_mad=template.get("MARKET_MAD"),
        enabled=template.get("STATE").upper() != "DISABLED",
        template=template.without("NAME", "STATE"),
    )
    return call.tx.put(MARKETPLACES.table, row).oid


def driver_fault(template: Template, market_mad: str, conf: Configuration) -> str | None:
    """What keeps a driver from serving a marketplace with that template."""
    entry = driver_conf(conf, "MARKET_MAD_CONF", market_mad)
    if entry is None:
        return f'MARKET_MAD_CONF named "{market_mad}" is not defined in oned.conf'
    for name in filter(None, (name.strip() for name in entry.get("REQUIRED_ATTRS").split(","))):
        if not template.get(name):
            return f'MarketPlace template is missing the "{name}" attribute or it\'s empty.'
    return None


@METHODS.add("update")
def update(call: Call, oid: int, text: str, append: int = 0) -> int:
    return shared.update(call, MARKETPLACES, oid, text, append, finish=_finish_update)


def _finish_update(call: Call, row: Marketplace, template: Template) -> Marketplace:
    """The driver stays unless another is named."""
    market_mad = template.get("MARKET_MAD") or row.market_mad
    fault = driver_fault(template, market_mad, call.conf)
    if fault is not None:
        raise internal(f"Cannot update template. {fault}")
    return msgspec.structs.replace(row, market_mad=market_mad, template=template.with_set("MARKET_MAD", market_mad))


@METHODS.add("delete")
def delete(call: Call, oid: int, recursive: bool = False) -> int:
    """A private marketplace has to be empty; the apps of a public one are only mirrored and go along."""
    row = call.fetch(MARKETPLACES, oid, Right.MANAGE)
    if app_ids(call.tx, oid):
        entry = driver_conf(call.conf, "MARKET_MAD_CONF", row.market_mad)
        if entry is None or not entry.get_bool("PUBLIC", False):
            raise action(f"Cannot delete marketplace. marketplace  {oid} is not empty.")
        forget_all(call.tx, row)
    remove(call.tx, MARKETPLACES, oid)
    return oid


@METHODS.add("enable")
def enable(call: Call, oid: int, enable: bool) -> int:
    """A marketplace that is switched off shows no apps any more."""
    row = call.fetch(MARKETPLACES, oid, Right.MANAGE)
    if not enable:
        forget_all(call.tx, row)
    call.tx.put(MARKETPLACES.table, msgspec.structs.replace(row, enabled=enable))
    return oid


@POOL_METHODS.read("info")
def pool_info(call: Call) -> Pieces:
    return shared.pool_info(call, MARKETPLACES, -2, -1, -1)
