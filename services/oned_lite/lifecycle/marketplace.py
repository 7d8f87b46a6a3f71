"""The life of marketplace apps: made of an image by the marketplace's driver, removed by it again."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.datastore import DATASTORES
from services.oned_lite.model.datastore_rules import driver_conf
from services.oned_lite.model.image import IMAGES, Image, ImageState, state_text
from services.oned_lite.model.marketplace import APPS, MARKETPLACES, AppState, AppType, MarketApp, Marketplace, app_ids
from services.oned_lite.model.removal import remove
from services.oned_lite.state import Reader, Transaction
from services.oned_lite.state.table import scan

from .image import CLONABLE, begin_export, end_export
from .work import Duty, Step, Timer, Work, WorkKey, WorkResult

IMPORT, DELETE = "import", "delete"
MONITOR = "monitor"
DEADLINE_S = 24 * 3600.0
LOOK_DEADLINE_S = 60.0
LOOK_INTERVAL_S = 600.0
"""MONITORING_INTERVAL_MARKET of the shipped oned.conf."""


class AppFault(Exception):
    """Why an app cannot be made of what it names."""


def begin_import(tx: Transaction, app: MarketApp) -> MarketApp:
    """Takes a new app into its first state: templates are ready as they are, an image has to be copied.

    Raises AppFault.
    """
    if app.type in (AppType.VMTEMPLATE, AppType.SERVICE_TEMPLATE):
        return tx.put(APPS.table, in_state(app, AppState.READY))
    if app.type is not AppType.IMAGE:
        raise AppFault("Unknown type of app, it must be IMAGE, VMTEMPLATE or SERVICE_TEMPLATE")
    image = tx.get(IMAGES.table, app.origin_id)
    if image is None:
        raise AppFault(f"Image {app.origin_id} does not exist")
    if image.state not in CLONABLE:
        raise AppFault(f"Cannot clone image in state: {state_text(image.state)}")
    begin_export(tx, image, app.oid)
    return tx.put(APPS.table, replace(in_state(app, AppState.LOCKED), task=IMPORT))


def begin_delete(tx: Transaction, app: MarketApp) -> None:
    """An app without a file of its own goes at once, another when the driver has removed it."""
    if app.source and app.type is AppType.IMAGE and app.task != IMPORT:
        tx.put(APPS.table, replace(app, task=DELETE, step=app.step + 1))
    else:
        forget(tx, app)


def forget(tx: Transaction, app: MarketApp) -> None:
    """Takes an app out of the pool; an image it was being made of is free again."""
    remove(tx, APPS, app.oid)
    if app.type is AppType.IMAGE:
        end_export(tx, app.origin_id, app.oid)


def forget_all(tx: Transaction, market: Marketplace) -> None:
    """Takes all of a marketplace's apps out of the pool."""
    for oid in app_ids(tx, market.oid):
        forget(tx, APPS.get(tx, oid))


def in_state(app: MarketApp, state: AppState) -> MarketApp:
    return replace(app, state=state, step=app.step + 1)


def required(reader: Reader, app: MarketApp, conf: Configuration) -> Sequence[Work]:
    market = reader.get(MARKETPLACES.table, app.market_id)
    if market is None:
        return ()
    image = reader.get(IMAGES.table, app.origin_id)
    if app.task == IMPORT and (image is None or not _can_export(reader, image, conf)):
        return ()
    arguments = {
        "ACTION": app.task,
        "PUBLIC_DIR": market.template.get("PUBLIC_DIR"),
        "BASE_URL": market.template.get("BASE_URL"),
        "SOURCE": app.source,
        "PATH": image.source if image else "",
        "FORMAT": image.format if image else "",
        "SIZE": str(image.size if image else 0),
    }
    key = WorkKey(APPS.table.name, app.oid, app.step, app.task)
    return (
        Work(key=key, driver=f"market/{market.market_mad}", arguments=tuple(arguments.items()), timeout_s=DEADLINE_S),
    )


def _can_export(reader: Reader, image: Image, conf: Configuration) -> bool:
    """Some datastores cannot hand out their images (MARKETPLACE_ACTIONS): oned leaves such an app LOCKED for ever."""
    datastore = reader.get(DATASTORES.table, image.datastore_id)
    if datastore is None or image.state is ImageState.ERROR:
        return False
    entry = driver_conf(conf, "DS_MAD_CONF", datastore.ds_mad)
    return entry is not None and "export" in entry.get("MARKETPLACE_ACTIONS")


def finished(step: Step, work: Work, result: WorkResult) -> None:
    app = step.tx.get(APPS.table, work.key.oid)
    if app is None or (app.task, app.step) != (work.key.action, work.key.step):
        return
    if app.task == DELETE:
        if result.ok:
            forget(step.tx, app)
        else:
            step.tx.put(APPS.table, replace(in_state(app, AppState.ERROR), task=""))
        return
    app = replace(app, task="")
    if result.ok:
        values = {name: result.value(name.upper()) for name in ("source", "md5", "format")}
        app = replace(in_state(app, AppState.READY), size=int(result.value("SIZE", "0")), **values)
    else:
        app = in_state(app, AppState.ERROR)
    step.tx.put(APPS.table, app)
    end_export(step.tx, app.origin_id, app.oid)


# ---------------------------------------------------------------------- how full marketplaces are
def look_again(step: Step) -> None:
    """Asks for the figures of every marketplace that is switched on."""
    for market in scan(step.tx, MARKETPLACES.table):
        if market.enabled and not market.monitoring:
            step.tx.put(MARKETPLACES.table, replace(market, monitoring=True))


def required_look(_reader: Reader, market: Marketplace, _conf: Configuration) -> Sequence[Work]:
    key = WorkKey(MARKETPLACES.table.name, market.oid, market.step, MONITOR)
    arguments = (("ACTION", MONITOR), ("PUBLIC_DIR", market.template.get("PUBLIC_DIR")))
    return (Work(key=key, driver=f"market/{market.market_mad}", arguments=arguments, timeout_s=LOOK_DEADLINE_S),)


def looked(step: Step, work: Work, result: WorkResult) -> None:
    """A look that failed leaves the figures as they were."""
    market = step.tx.get(MARKETPLACES.table, work.key.oid)
    if market is None:
        return
    market = replace(market, monitoring=False, step=market.step + 1)
    if result.ok:
        total, free, used = (int(result.value(name, "0")) for name in ("TOTAL_MB", "FREE_MB", "USED_MB"))
        market = replace(market, total_mb=total, free_mb=free, used_mb=used)
    step.tx.put(MARKETPLACES.table, market)


DUTY = Duty(APPS.table, required, finished)
LOOK_DUTY = Duty(MARKETPLACES.table, required_look, looked)
TIMER = Timer("marketplaces", LOOK_INTERVAL_S, look_again, attribute="MONITORING_INTERVAL_MARKET")
