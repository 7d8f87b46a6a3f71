"""Marketplaces and their apps: images and templates to share."""

from __future__ import annotations

from enum import IntEnum

from services.oned_lite.state import Reader

from .objects import Kind, NameScope, ObjectType, PoolObject, kind_table
from .xml import element, id_list, template_element, text_element


class AppState(IntEnum):
    INIT = 0
    READY = 1
    LOCKED = 2
    ERROR = 3
    DISABLED = 4


class AppType(IntEnum):
    UNKNOWN = 0
    IMAGE = 1
    VMTEMPLATE = 2
    SERVICE_TEMPLATE = 3

    @staticmethod
    def of(text: str) -> AppType:
        return AppType.__members__.get(text.upper(), AppType.UNKNOWN)


class Marketplace(PoolObject, frozen=True, kw_only=True, omit_defaults=True):
    """`market_mad` names its driver; sizes in MB. `monitoring` asks for a new look, `step` counts them."""

    market_mad: str
    enabled: bool = True
    zone_id: int = 0
    total_mb: int = 0
    free_mb: int = 0
    used_mb: int = 0
    monitoring: bool = False
    step: int = 0


class MarketApp(PoolObject, frozen=True, kw_only=True, omit_defaults=True):
    """`origin_id` is the image or template it was made of, `size` in MB, `regtime` in epoch seconds. `task` is what a
    driver has to do for it now, "" for nothing; `step` grows with every change of state or task."""

    regtime: int
    market_id: int
    type: AppType
    origin_id: int = -1
    zone_id: int = 0
    state: AppState = AppState.INIT
    source: str = ""
    md5: str = ""
    size: int = 0
    description: str = ""
    version: str = ""
    format: str = ""
    apptemplate64: str = ""
    task: str = ""
    step: int = 0


APP_TABLE = kind_table(
    "marketplaceapp_pool",
    MarketApp,
    NameScope.OWNER,
    market=lambda row: (row.market_id,),
    work=lambda row: (True,) if row.task else (),
)


def app_ids(reader: Reader, oid: int) -> list[int]:
    """Ids of a marketplace's apps."""
    return [key for key in reader.find(APP_TABLE, "market", oid) if isinstance(key, int)]


def render(reader: Reader, row: Marketplace) -> str:
    """`<MARKETPLACE>`, the same in info and pools."""
    return (
        f"<MARKETPLACE>{row.owner_xml()}{element('STATE', 0 if row.enabled else 1)}"
        f"{text_element('MARKET_MAD', row.market_mad)}{element('ZONE_ID', row.zone_id)}"
        f"{element('TOTAL_MB', row.total_mb)}{element('FREE_MB', row.free_mb)}{element('USED_MB', row.used_mb)}"
        f"{id_list('MARKETPLACEAPPS', app_ids(reader, row.oid))}{row.permissions.to_xml()}"
        f"{template_element(row.template)}</MARKETPLACE>"
    )


MARKETPLACES = Kind(
    type=ObjectType.MARKETPLACE,
    title="marketplace",
    table=kind_table(
        "marketplace_pool", Marketplace, NameScope.POOL, work=lambda row: (True,) if row.monitoring else ()
    ),
    prefix="one.market",
    root="MARKETPLACE",
    pool_root="MARKETPLACE_POOL",
    name_scope=NameScope.POOL,
    render=render,
    first_oid=100,
)


def render_app(reader: Reader, row: MarketApp) -> str:
    """`<MARKETPLACEAPP>`, the same in info and pools."""
    market = reader.get(MARKETPLACES.table, row.market_id)
    return (
        f"<MARKETPLACEAPP><ID>{row.oid}</ID><UID>{row.uid}</UID><GID>{row.gid}</GID><UNAME>{row.uname}</UNAME>"
        f"<GNAME>{row.gname}</GNAME>{row.lock_xml()}{element('REGTIME', row.regtime)}"
        f"{text_element('NAME', row.name)}{text_element('ZONE_ID', str(row.zone_id))}"
        f"{text_element('ORIGIN_ID', str(row.origin_id))}{text_element('SOURCE', row.source)}"
        f"{text_element('MD5', row.md5)}{element('SIZE', row.size)}{text_element('DESCRIPTION', row.description)}"
        f"{text_element('VERSION', row.version)}{text_element('FORMAT', row.format)}"
        f"{text_element('APPTEMPLATE64', row.apptemplate64)}{element('MARKETPLACE_ID', row.market_id)}"
        f"{text_element('MARKETPLACE', market.name if market else '')}{element('STATE', row.state.value)}"
        f"{element('TYPE', row.type.value)}{row.permissions.to_xml()}{template_element(row.template)}</MARKETPLACEAPP>"
    )


APPS = Kind(
    type=ObjectType.MARKETPLACEAPP,
    title="marketplaceapp",
    table=APP_TABLE,
    prefix="one.marketapp",
    root="MARKETPLACEAPP",
    pool_root="MARKETPLACEAPP_POOL",
    name_scope=NameScope.OWNER,
    render=render_app,
)
