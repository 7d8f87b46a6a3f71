"""one.marketapp.*: what marketplaces offer."""

from __future__ import annotations

import msgspec

from services.common.template import Template
from services.oned_lite.lifecycle.marketplace import AppFault, begin_delete, begin_import, in_state
from services.oned_lite.model.datastore_rules import driver_conf
from services.oned_lite.model.errors import ApiError, ErrorCode, action, internal
from services.oned_lite.model.marketplace import APPS, MARKETPLACES, AppState, AppType, MarketApp, Marketplace
from services.oned_lite.model.objects import ObjectType
from services.oned_lite.policy.authorization import Right

from . import shared
from .call import Call
from .method import MethodTable
from .shared.allocation import MISSING, insert_refused, new_name_fault, new_permissions, parsed, required
from .shared.register import register, register_pool

METHODS = MethodTable("one.marketapp")
POOL_METHODS = MethodTable("one.marketapppool")
NEW_VERSION = "0.0"
OWN_FIELDS = ("NAME", "ORIGIN_ID", "SOURCE", "SIZE", "MD5", "FORMAT", "REGTIME", "ZONE_ID", "MARKETPLACE", "STATE")
"""What an app keeps in fields of its own; the template cannot set them."""

register(METHODS, APPS, "info", "rename", "chown", "chmod", "lock", "unlock")
register_pool(POOL_METHODS, APPS)


@METHODS.add("allocate")
def allocate(call: Call, text: str, market_id: int = MISSING) -> int:
    """An app that cannot be made stays in the pool in state ERROR; the call fails."""
    template = parsed(text)
    market = call.tx.get(MARKETPLACES.table, required(market_id))
    if market is not None and not _can(call, market, "create"):
        raise action(f"Create disabled for market: {market.name}")
    call.create(ObjectType.MARKETPLACEAPP)
    fault = new_name_fault(call, APPS, template.get("NAME"))
    if fault is not None:
        raise internal(fault.rstrip("."))  # the sentence on taken names has no full stop here
    if market is None:
        raise internal("Cannot find associated MARKETPLACE")
    if template.get_int("ORIGIN_ID") is None:
        raise insert_refused(call, APPS, internal("Missing ORIGIN_ID for the MARKETPLACEAPP"))
    app = _new(call, market, template)
    try:
        return begin_import(call.tx, app).oid
    except AppFault as fault:
        call.tx.put(APPS.table, in_state(app, AppState.ERROR))
        raise ApiError(ErrorCode.ACTION, str(fault), keeps_changes=True) from None


def _can(call: Call, market: Marketplace, verb: str) -> bool:
    """Whether the marketplace's driver knows `verb` for its apps (APP_ACTIONS)."""
    entry = driver_conf(call.conf, "MARKET_MAD_CONF", market.market_mad)
    return entry is not None and verb in (word.strip() for word in entry.get("APP_ACTIONS").split(","))


def _new(call: Call, market: Marketplace, template: Template) -> MarketApp:
    row = MarketApp(
        oid=call.next_oid(APPS),
        name=template.get("NAME"),
        uid=call.caller.uid,
        gid=call.caller.gid,
        uname=call.caller.name,
        gname=call.caller.gname,
        permissions=new_permissions(call),
        regtime=call.tx.now,
        market_id=market.oid,
        zone_id=market.zone_id,
        type=AppType.of(template.get("TYPE")),
        origin_id=template.get_int("ORIGIN_ID", -1),
    )
    row = _described(row, template)
    return msgspec.structs.replace(row, version=row.version or NEW_VERSION)


def _described(row: MarketApp, template: Template) -> MarketApp:
    """With a template and the fields that follow it."""
    return msgspec.structs.replace(
        row,
        description=template.get("DESCRIPTION"),
        version=template.get("VERSION"),
        apptemplate64=template.get("APPTEMPLATE64"),
        template=template.without(*OWN_FIELDS),
    )


@METHODS.add("update")
def update(call: Call, oid: int, text: str, append: int = 0) -> int:
    return shared.update(call, APPS, oid, text, append, finish=lambda _call, row, template: _described(row, template))


@METHODS.add("delete")
def delete(call: Call, oid: int, recursive: bool = False) -> int:
    app = call.fetch(APPS, oid, Right.MANAGE)
    market = MARKETPLACES.get(call.tx, app.market_id)
    if not _can(call, market, "delete"):
        raise action(f"Delete disabled for market: {market.name}")
    begin_delete(call.tx, app)
    return oid


@METHODS.add("enable")
def enable(call: Call, oid: int, enable: bool) -> int:
    """An app that a driver is at work on, or that failed, stays as it is."""
    app = call.fetch(APPS, oid, Right.MANAGE)
    if app.state in (AppState.READY, AppState.DISABLED):
        call.tx.put(APPS.table, in_state(app, AppState.READY if enable else AppState.DISABLED))
    return oid
