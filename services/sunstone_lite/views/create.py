"""Forms that make new objects."""

from collections.abc import Mapping

from aiohttp import web

from services.common.oned import OnedError, OnedUnavailable, OnedUnknown
from services.sunstone_lite import answers, forms, problems, reading
from services.sunstone_lite.forms import Form
from services.sunstone_lite.i18n import N_
from services.sunstone_lite.items import Item
from services.sunstone_lite.kinds import KINDS, Kind
from services.sunstone_lite.kinds.base import Creation
from services.sunstone_lite.kinds.template import INSTANTIATE, instantiate_calls
from services.sunstone_lite.problems import Problem
from services.sunstone_lite.sessions import Flash

Pools = Mapping[str, tuple[Item, ...]]


async def blank(request: web.Request) -> web.StreamResponse:
    """An empty form. Values in the query fill it in, so a link can prepare one."""
    kind, creation = _creation_of(request)
    form = creation.form
    pools = await _pools(request, form)
    filled = {entry.name: request.query.get(entry.name, entry.default) for entry in form.fields}
    return await _show(request, kind, form, filled, pools)


async def submit(request: web.Request) -> web.StreamResponse:
    """Create the object, or show the form again with what is wrong beside each field."""
    kind, creation = _creation_of(request)
    form = creation.form
    pools = await _pools(request, form)
    given = await _given(request, form)
    wrong = forms.problems(form, given, pools)
    if wrong:
        return await _show(request, kind, form, given, pools, wrong=wrong)
    try:
        oid = await reading.call(request, creation.build(given))
    except (OnedError, OnedUnavailable, OnedUnknown) as error:
        return await _show(request, kind, form, given, pools, problem=_reraise_or_describe(error))
    text = answers.gettext(request, N_("%(name)s was created with id %(oid)s."))
    flash = Flash("good", text % {"name": given.get("name", ""), "oid": oid})
    return await answers.back_with(request, f"/{kind.key}", flash)


async def instantiate_blank(request: web.Request) -> web.StreamResponse:
    """The form that makes machines of a template."""
    kind = KINDS["templates"]
    item = await reading.one(request, kind, reading.oid_of(request))
    filled = {entry.name: entry.default for entry in INSTANTIATE.fields}
    return await _show(request, kind, INSTANTIATE, filled, {}, item=item)


async def instantiate(request: web.Request) -> web.StreamResponse:
    """Make the machines one after the other; what was made before a failure is said."""
    kind, oid = KINDS["templates"], reading.oid_of(request)
    given = await _given(request, INSTANTIATE)
    wrong = forms.problems(INSTANTIATE, given, {})
    made: list[object] = []
    problem: Problem | None = None
    if not wrong:
        try:
            for wanted in instantiate_calls(oid, given):
                made += [await reading.call(request, wanted)]
        except (OnedError, OnedUnavailable, OnedUnknown) as error:
            problem = _reraise_or_describe(error)
    if wrong or (problem and not made):
        item = await reading.one(request, kind, oid)
        return await _show(request, kind, INSTANTIATE, given, {}, item=item, wrong=wrong, problem=problem)
    text = answers.ngettext(request, "Machine %(ids)s was created.", "Machines %(ids)s were created.", len(made))
    details = (answers.gettext(request, problem.text), problem.detail) if problem else ()
    flash = Flash("bad" if problem else "good", text % {"ids": ", ".join(f"#{each}" for each in made)}, details)
    return await answers.back_with(request, f"/vms/{made[0]}" if len(made) == 1 else "/vms", flash)


def _creation_of(request: web.Request) -> tuple[Kind, Creation]:
    kind = reading.kind_of(request)
    if kind.create is None:
        raise web.HTTPNotFound
    return kind, kind.create


async def _pools(request: web.Request, form: Form) -> Pools:
    return await reading.pools(request, *{entry.pool for entry in form.fields if entry.pool})


async def _given(request: web.Request, form: Form) -> dict[str, str]:
    posted = await request.post()
    return forms.read(form, {name: value for name, value in posted.items() if isinstance(value, str)})


def _reraise_or_describe(error: Exception) -> Problem:
    if isinstance(error, OnedError) and problems.is_authentication(error):
        raise error
    return problems.describe(error)


async def _show(
    request: web.Request,
    kind: Kind,
    form: Form,
    filled: Mapping[str, str],
    pools: Pools,
    *,
    item: Item | None = None,
    wrong: Mapping[str, str] | None = None,
    problem: Problem | None = None,
) -> web.StreamResponse:
    options = {entry.name: forms.options_for(entry, pools) for entry in form.fields if entry.type == "choice"}
    # passwords are never sent back into a page
    shown = {entry.name: "" if entry.type == "password" else filled.get(entry.name, "") for entry in form.fields}
    status = 422 if wrong else problem.status if problem else 200
    return await answers.page(
        request,
        "form.html",
        status,
        kind=kind,
        form=form,
        filled=shown,
        options=options,
        item=item,
        wrong=wrong or {},
        problem=problem,
    )
