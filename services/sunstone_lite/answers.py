"""From values to responses: whole pages, refusals, redirects with a message, and the cookies."""

import hashlib

from aiohttp import web

from services.sunstone_lite import i18n
from services.sunstone_lite.problems import Problem
from services.sunstone_lite.sessions import Flash, Session
from services.sunstone_lite.site import SITE, VISIT, Visit, site_of

ETAG_LENGTH = 20
YEAR_S = 31_536_000


async def page(request: web.Request, template: str, /, status: int = 200, **values: object) -> web.Response:
    """A page of the UI. To the page's own script an unchanged page is a 304 without a body."""
    visit = request[VISIT]
    flash = await _flash(request, visit)
    html = _render(request, template, {"flash": flash, **values})
    etag = hashlib.sha256(html.encode()).hexdigest()[:ETAG_LENGTH]
    if visit.live and request.headers.get("If-None-Match") == f'"{etag}"' and status == 200:
        return web.Response(status=304, headers={"ETag": f'"{etag}"'})
    return web.Response(text=html, status=status, content_type="text/html", headers={"ETag": f'"{etag}"'})


def problem_page(request: web.Request, problem: Problem) -> web.Response:
    """A page that says what is wrong; a GET that may work soon is repeated by the browser itself."""
    html = _render(request, "problem.html", {"flash": None, "problem": problem})
    response = web.Response(text=html, status=problem.status, content_type="text/html")
    if problem.retry_s:
        response.headers["Retry-After"] = str(problem.retry_s)
        if request.method == "GET" and not request[VISIT].live:
            response.headers["Refresh"] = str(problem.retry_s)
    return response


def see_other(location: str) -> web.Response:
    """Go on to `location` with a GET."""
    return web.Response(status=303, headers={"Location": location})


async def back_with(request: web.Request, location: str, flash: Flash) -> web.Response:
    """See-other to `location`, with a message shown there."""
    visit = request[VISIT]
    await site_of(request).sessions.put_flash(visit.sid, flash)
    return see_other(location)


def gettext(request: web.Request, message: str) -> str:
    """`message` in the visitor's language."""
    return site_of(request).pages.languages[request[VISIT].language].messages.gettext(message) if message else ""


def ngettext(request: web.Request, one: str, many: str, number: int) -> str:
    """The singular or plural in the visitor's language."""
    return site_of(request).pages.languages[request[VISIT].language].messages.ngettext(one, many, number)


def session_cookie(request: web.Request) -> str:
    """The session id the browser sent, empty if none."""
    return request.cookies.get(_cookie_name(request), "")


def set_session_cookie(request: web.Request, response: web.StreamResponse, sid: str) -> None:
    """Hand out a session id: host-only, unreadable for scripts, never sent from other sites."""
    response.set_cookie(
        _cookie_name(request),
        sid,
        path="/",
        httponly=True,
        samesite="Strict",
        secure=site_of(request).settings.cookie_secure,
    )


def drop_session_cookie(request: web.Request, response: web.StreamResponse) -> None:
    """Take the session id out of the browser."""
    secure = site_of(request).settings.cookie_secure
    response.del_cookie(_cookie_name(request), path="/", httponly=True, samesite="Strict", secure=secure)


def set_preference(request: web.Request, response: web.StreamResponse, name: str, value: str) -> None:
    """Remember a choice of language or theme; it says nothing about who the visitor is."""
    secure = site_of(request).settings.cookie_secure
    response.set_cookie(name, value, path="/", max_age=YEAR_S, httponly=True, samesite="Strict", secure=secure)


def safe_path(offered: str) -> str:
    """A path on this site to go on to; anything else becomes the front page."""
    plain = offered.startswith("/") and not offered.startswith(("//", "/\\")) and offered.isprintable()
    return offered if plain and "\\" not in offered else "/"


def _cookie_name(request: web.Request) -> str:
    # the prefix makes browsers insist on Secure, Path=/ and no Domain; over plain HTTP they would refuse it
    return "__Host-sunstone_lite" if site_of(request).settings.cookie_secure else "sunstone_lite"


async def _flash(request: web.Request, visit: Visit) -> Flash | None:
    if visit.session is None or visit.live:
        return None
    return await site_of(request).sessions.take_flash(visit.sid)


def _render(request: web.Request, template: str, values: dict[str, object]) -> str:
    site = request.app[SITE]
    visit = request[VISIT]
    shared: dict[str, object] = {
        "csrf": visit.csrf,
        "here": request.rel_url.path_qs,
        "languages": i18n.LANGUAGES,
        "login": visit.login,
        "now": site.clock(),
        "path": request.path,
        "served_by": site.settings.served_by,
        "theme": visit.theme,
        "watch": site.watch,
    }
    return site.pages.render(template, visit.language, {**shared, **values})


def replace_session(request: web.Request, sid: str, session: Session) -> None:
    """From here on the request belongs to this session."""
    visit = request[VISIT]
    request[VISIT] = Visit(sid, session, visit.language, visit.theme, visit.live)
