"""What the zones of a federation tell their master of marketplaces and apps: whole objects, as XML.

Only user 0 may. On a zone of its own nobody calls them; they answer as the master does.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from services.common.template import Template, TemplateError, parse
from services.oned_lite.lifecycle.marketplace import forget
from services.oned_lite.model.errors import ApiError, ErrorCode, internal
from services.oned_lite.model.marketplace import APPS, MARKETPLACES, AppState, AppType, MarketApp, Marketplace
from services.oned_lite.model.objects import Kind, Permissions, PoolObject
from services.oned_lite.policy.caller import ONEADMIN_UID

from .call import Call
from .method import MethodTable

METHODS = MethodTable("one.market")
APP_METHODS = MethodTable("one.marketapp")
R = TypeVar("R", bound=PoolObject)


def _only_oneadmin(call: Call, kind: Kind[R]) -> None:
    if call.caller.uid != ONEADMIN_UID:
        message = f"User [{call.caller.uid}] not authorized to perform action on {kind.title}."
        raise ApiError(ErrorCode.AUTHORIZATION, message)


def _read(xml: str) -> Template:
    """The object's elements; it must at least have a name."""
    try:
        found = parse(xml) if xml.startswith("<") else Template()
    except TemplateError:
        found = Template()
    if not found.get("NAME"):
        raise internal("Cannot update object from XML")
    return found


def _common(row: R, found: Template) -> R:
    """The fields that every object has, as far as the XML tells them."""
    bits = found.vector("PERMISSIONS")
    permissions = row.permissions
    if bits is not None:
        permissions = Permissions(*(bits.get_int(name.upper(), 0) for name in Permissions.__struct_fields__))
    inner = found.vector("TEMPLATE")
    return msgspec.structs.replace(
        row,
        name=found.get("NAME"),
        uid=found.get_int("UID", row.uid),
        gid=found.get_int("GID", row.gid),
        uname=found.get("UNAME", row.uname),
        gname=found.get("GNAME", row.gname),
        permissions=permissions,
        template=row.template if inner is None else Template(inner.pairs),
    )


def _market(row: Marketplace, found: Template) -> Marketplace:
    return msgspec.structs.replace(
        _common(row, found),
        market_mad=found.get("MARKET_MAD", row.market_mad),
        enabled=found.get_int("STATE", 0) == 0,
        zone_id=found.get_int("ZONE_ID", row.zone_id),
        total_mb=found.get_int("TOTAL_MB", row.total_mb),
        free_mb=found.get_int("FREE_MB", row.free_mb),
        used_mb=found.get_int("USED_MB", row.used_mb),
    )


def _app(row: MarketApp, found: Template) -> MarketApp:
    state, type_number = found.get_int("STATE", row.state), found.get_int("TYPE", row.type)
    if state not in AppState.__members__.values() or type_number not in AppType.__members__.values():
        raise internal("Cannot update object from XML")
    return msgspec.structs.replace(
        _common(row, found),
        state=AppState(state),
        type=AppType(type_number),
        regtime=found.get_int("REGTIME", row.regtime),
        market_id=found.get_int("MARKETPLACE_ID", row.market_id),
        origin_id=found.get_int("ORIGIN_ID", row.origin_id),
        zone_id=found.get_int("ZONE_ID", row.zone_id),
        source=found.get("SOURCE", row.source),
        md5=found.get("MD5", row.md5),
        size=found.get_int("SIZE", row.size),
        description=found.get("DESCRIPTION", row.description),
        version=found.get("VERSION", row.version),
        format=found.get("FORMAT", row.format),
        apptemplate64=found.get("APPTEMPLATE64", row.apptemplate64),
    )


@METHODS.add("allocatedb")
def market_allocatedb(call: Call, xml: str) -> int:
    _only_oneadmin(call, MARKETPLACES)
    found = _read(xml)
    blank = Marketplace(oid=call.next_oid(MARKETPLACES), name="", market_mad="")
    return call.tx.put(MARKETPLACES.table, _market(blank, found)).oid


@METHODS.add("updatedb")
def market_updatedb(call: Call, oid: int, xml: str) -> int:
    _only_oneadmin(call, MARKETPLACES)
    row = MARKETPLACES.get(call.tx, oid)
    call.tx.put(MARKETPLACES.table, _market(row, _read(xml)))
    return oid


@APP_METHODS.add("allocatedb")
def app_allocatedb(call: Call, xml: str) -> int:
    _only_oneadmin(call, APPS)
    found = _read(xml)
    blank = MarketApp(oid=call.next_oid(APPS), name="", regtime=call.tx.now, market_id=-1, type=AppType.UNKNOWN)
    return call.tx.put(APPS.table, _app(blank, found)).oid


@APP_METHODS.add("updatedb")
def app_updatedb(call: Call, oid: int, xml: str) -> int:
    _only_oneadmin(call, APPS)
    row = APPS.get(call.tx, oid)
    call.tx.put(APPS.table, _app(row, _read(xml)))
    return oid


@APP_METHODS.add("dropdb")
def app_dropdb(call: Call, oid: int) -> int:
    _only_oneadmin(call, APPS)
    forget(call.tx, APPS.get(call.tx, oid))
    return oid
