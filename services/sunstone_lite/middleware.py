"""What happens to every request before and after its handler."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from aiohttp import web
from yarl import URL

from services.common import logs
from services.common.oned import OnedError, OnedUnavailable, OnedUnknown
from services.sunstone_lite import answers, i18n, problems, sessions
from services.sunstone_lite.cache import CacheAway
from services.sunstone_lite.i18n import N_
from services.sunstone_lite.problems import Problem
from services.sunstone_lite.site import LIVE_HEADER, SITE, THEMES, VISIT, Visit

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

BODY_TIMEOUT_S = 10.0
OPEN_PATHS = frozenset({"/login", "/preferences"})
MACHINE_PATHS = frozenset({"/healthz", "/metrics"})
STATIC_PREFIX = "/static/"

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

log = logs.get("sunstone.http")


@web.middleware
async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count, time and log the request; put on the headers that every response has."""
    started = time.perf_counter()
    try:
        response = await request.app[SITE].usher.attend(request, handler)
    except web.HTTPException as answer:
        response = answer
    seconds = time.perf_counter() - started
    route = _route(request)
    metrics = request.app[SITE].metrics
    metrics.requests.labels(request.method, route, str(response.status)).inc()
    metrics.request_seconds.labels(route).observe(seconds)
    log.debug("request", method=request.method, path=request.path, status=response.status, ms=round(seconds * 1000))
    response.headers.update(SECURITY_HEADERS)
    response.headers["Server"] = "sunstone-lite"
    response.headers["X-Served-By"] = request.app[SITE].settings.served_by
    response.headers.setdefault("Cache-Control", "no-store")
    if isinstance(response, web.HTTPException):
        raise response
    return response


@web.middleware
async def identify(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Find the visit's language, theme and session, and turn cluster conditions into pages that say so."""
    request[VISIT] = _stranger(request)
    if _needs_no_visit(request):
        return await handler(request)
    try:
        await _recognise(request)
        return await handler(request)
    except OnedError as error:
        if problems.is_authentication(error) and request[VISIT].login:
            return await _disowned(request)
        return answers.problem_page(request, problems.describe(error))
    except (CacheAway, OnedUnavailable, OnedUnknown) as error:
        return answers.problem_page(request, problems.describe(error))
    except web.HTTPNotFound:
        return answers.problem_page(request, NO_SUCH_PAGE)
    except web.HTTPException:
        raise
    except Exception:
        log.exception("request failed", method=request.method, path=request.path)
        return answers.problem_page(request, OUR_FAULT)


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Only the signed-in get past the door, and only forms that we made are read."""
    if _needs_no_visit(request):
        return await handler(request)
    visit = request[VISIT]
    if visit.login is None and request.path not in OPEN_PATHS:
        if visit.live:
            return web.Response(status=401)
        onward = request.rel_url.path_qs if request.method == "GET" else "/"
        raise web.HTTPSeeOther("/login" if onward == "/" else str(URL("/login").with_query(next=onward)))
    if request.method == "POST" and not await _is_our_form(request):
        return answers.problem_page(request, FORM_TOO_OLD)
    return await handler(request)


NO_SUCH_PAGE = Problem(404, N_("Not found"), N_("There is no such page."))
OUR_FAULT = Problem(500, N_("Something went wrong here"), N_("The fault is in this web interface; its log says more."))
FORM_TOO_OLD = Problem(
    403,
    N_("This form is too old"),
    N_("It was not made for your present session, so nothing was done. Open the page again and repeat."),
)


def _stranger(request: web.Request) -> Visit:
    site = request.app[SITE]
    language = i18n.negotiate(
        request.cookies.get("language"), request.headers.get("Accept-Language", ""), site.settings.language
    )
    theme = request.cookies.get("theme", "")
    return Visit("", None, language, theme if theme in THEMES else THEMES[0], LIVE_HEADER in request.headers)


async def _recognise(request: web.Request) -> None:
    sid = answers.session_cookie(request)
    if not sid:
        return
    store = request.app[SITE].sessions
    session = await store.load(sid)
    if session is None:
        return
    # a page refreshing itself is not a user at work: it must not keep a session alive
    if session.login and not request[VISIT].live:
        session = await store.touch(sid, session)
    answers.replace_session(request, sid, session)


async def _disowned(request: web.Request) -> web.StreamResponse:
    """oned no longer takes the session's token (revoked, password changed, user disabled): sign in again."""
    visit = request[VISIT]
    log.info("session refused by oned", visit=sessions.label(visit.sid))
    await request.app[SITE].sessions.end(visit.sid)
    if visit.live:
        return web.Response(status=401)
    response = answers.see_other("/login?ended=1")
    answers.drop_session_cookie(request, response)
    return response


async def _is_our_form(request: web.Request) -> bool:
    """Synchronizer token, and Fetch Metadata where the browser sends it (both are OWASP's advice)."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return False
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            form = await request.post()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except (ValueError, LookupError):
        raise web.HTTPBadRequest(text="the form cannot be read") from None
    session, offered = request[VISIT].session, form.get("csrf", "")
    return session is not None and isinstance(offered, str) and sessions.same_token(session, offered)


def _needs_no_visit(request: web.Request) -> bool:
    return request.path in MACHINE_PATHS or request.path.startswith(STATIC_PREFIX)


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource else "unknown"
