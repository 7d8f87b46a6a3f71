"""Doing something to one object or many."""

import asyncio
from dataclasses import dataclass

from aiohttp import web

from services.common import logs
from services.common.oned import OnedError, OnedUnavailable, OnedUnknown
from services.sunstone_lite import answers, problems, reading
from services.sunstone_lite.i18n import N_
from services.sunstone_lite.kinds import Action, Kind
from services.sunstone_lite.sessions import Flash
from services.sunstone_lite.site import login_of

AT_ONCE = 4
OBJECTS_MAX = 500
DETAILS_MAX = 8

log = logs.get("sunstone.actions")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one object was not acted upon."""

    oid: int
    reason: str


async def submit(request: web.Request) -> web.StreamResponse:
    """Run an action on the objects ticked; a grave one first shows their names and asks."""
    kind = reading.kind_of(request)
    posted = await request.post()
    action = kind.action(str(posted.get("action", "")))
    oids = _oids([str(value) for value in posted.getall("oid", [])])
    back = answers.safe_path(str(posted.get("back", f"/{kind.key}")))
    if action is None:
        raise web.HTTPBadRequest(text="unknown action")
    if not oids:
        return await answers.back_with(
            request, back, Flash("warn", answers.gettext(request, N_("Nothing was selected.")))
        )
    if action.grave and posted.get("confirmed") != "yes":
        return await _ask(request, kind, action, oids, back)
    failures = await _run(request, kind, action, oids)
    gone = action.key == "delete" and not failures and back.startswith(f"/{kind.key}/")
    return await answers.back_with(
        request, f"/{kind.key}" if gone else back, _report(request, action, len(oids), failures)
    )


async def _ask(
    request: web.Request, kind: Kind, action: Action, oids: tuple[int, ...], back: str
) -> web.StreamResponse:
    items = {item.oid: item for item in await reading.pool(request, kind)}
    chosen = [(oid, items[oid].name if oid in items else "") for oid in oids]
    return await answers.page(request, "confirm.html", kind=kind, action=action, chosen=chosen, back=back)


async def _run(request: web.Request, kind: Kind, action: Action, oids: tuple[int, ...]) -> list[Failure]:
    """The failures. A dying session is not one of them: it ends the request."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def do(oid: int) -> Failure | None:
        async with limit:
            try:
                await reading.call(request, action.call(oid))
            except OnedError as error:
                if problems.is_authentication(error):
                    raise
                return Failure(oid, error.message)
            except (OnedUnavailable, OnedUnknown) as error:
                return Failure(oid, _condition(request, error))
        return None

    found = await asyncio.gather(*(do(oid) for oid in oids))
    failures = [failure for failure in found if failure]
    log.info(
        "action", user=login_of(request).name, kind=kind.key, action=action.key, objects=len(oids), failed=len(failures)
    )
    return failures


def _condition(request: web.Request, error: Exception) -> str:
    problem = problems.describe(error)
    return f"{answers.gettext(request, problem.title)}. {answers.gettext(request, problem.text)}"


def _report(request: web.Request, action: Action, total: int, failures: list[Failure]) -> Flash:
    label = answers.gettext(request, action.label)
    done = total - len(failures)
    if not failures:
        text = answers.ngettext(request, "%(action)s: accepted.", "%(action)s: %(num)d accepted.", done)
        return Flash("good", text % {"action": label, "num": done})
    text = answers.gettext(request, N_("%(action)s: %(done)d accepted, %(failed)d refused."))
    details = tuple(f"#{failure.oid}: {failure.reason}" for failure in failures[:DETAILS_MAX])
    return Flash("bad", text % {"action": label, "done": done, "failed": len(failures)}, details)


def _oids(values: list[str]) -> tuple[int, ...]:
    numbers = [int(value) for value in values[:OBJECTS_MAX] if value.isascii() and value.isdigit() and len(value) < 10]
    return tuple(dict.fromkeys(numbers))
