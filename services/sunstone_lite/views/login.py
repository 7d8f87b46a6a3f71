"""Signing in and out."""

from aiohttp import web

from services.common import logs
from services.common.oned import OnedError, OnedUnavailable, OnedUnknown
from services.sunstone_lite import answers, problems, sessions
from services.sunstone_lite.i18n import N_
from services.sunstone_lite.problems import Problem
from services.sunstone_lite.site import VISIT, site_of

NAME_MAX = 128
PASSWORD_MAX = 512

log = logs.get("sunstone.login")

WRONG = Problem(401, N_("Sign-in failed"), N_("The user name or the password is wrong, or the user is disabled."))
TOO_MANY = Problem(
    429, N_("Too many attempts"), N_("Please wait a minute before you try this user name again."), retry_s=60
)
ENDED = Problem(200, N_("Your session has ended"), N_("Please sign in again."))


async def form(request: web.Request) -> web.StreamResponse:
    """The sign-in page, with a visitor's session for its form token."""
    visit = request[VISIT]
    if visit.login:
        raise web.HTTPSeeOther("/")
    return await _show(request, ENDED if request.query.get("ended") else None)


async def submit(request: web.Request) -> web.StreamResponse:
    """Try a name and a password. What the user is told never depends on which of them was wrong."""
    posted = await request.post()
    user, password = str(posted.get("user", "")).strip(), str(posted.get("password", ""))
    if not _plausible(user, password):
        return await _show(request, WRONG, user)
    site = site_of(request)
    if not await site.throttle.admit(user):
        site.metrics.sign_ins.labels("throttled").inc()
        log.warning("sign-in throttled", user=user)
        return await _show(request, TOO_MANY, user)
    try:
        login, until = await site.delegate.sign_in(user, password, site.settings.session.absolute_s)
    except OnedError as error:
        if problems.is_authentication(error):
            return await _refused(request, user)
        return await _not_now(request, user, error)
    except (OnedUnavailable, OnedUnknown) as error:
        return await _not_now(request, user, error)
    await site.throttle.forgive(user)
    sid, session = await site.sessions.sign_in(request[VISIT].sid, login, until)
    site.metrics.sign_ins.labels("ok").inc()
    log.info("signed in", user=login.name, uid=login.uid, visit=sessions.label(sid))
    answers.replace_session(request, sid, session)
    response = answers.see_other(answers.safe_path(str(posted.get("next", "/"))))
    answers.set_session_cookie(request, response, sid)
    return response


async def leave(request: web.Request) -> web.StreamResponse:
    """End the session on the servers, take its token back, and forget it in the browser."""
    site, visit = site_of(request), request[VISIT]
    await site.sessions.end(visit.sid)
    if visit.login:
        try:
            await site.delegate.sign_out(visit.login)
        except (OnedError, OnedUnavailable, OnedUnknown) as error:
            # the session is gone either way; the token dies of age
            log.warning("login token not revoked", user=visit.login.name, error=str(error))
        log.info("signed out", user=visit.login.name, visit=sessions.label(visit.sid))
    response = answers.see_other("/login")
    answers.drop_session_cookie(request, response)
    return response


def _plausible(user: str, password: str) -> bool:
    """Nothing oned could accept is asked of it; a colon would move the border between name and password."""
    return bool(user and password) and len(user) <= NAME_MAX and len(password) <= PASSWORD_MAX and ":" not in user


async def _refused(request: web.Request, user: str) -> web.StreamResponse:
    site_of(request).metrics.sign_ins.labels("refused").inc()
    log.info("sign-in refused", user=user)
    return await _show(request, WRONG, user)


async def _not_now(request: web.Request, user: str, error: Exception) -> web.StreamResponse:
    """The zone could not answer: that is not the user's fault and must not count against the user."""
    site = site_of(request)
    await site.throttle.forgive(user)
    site.metrics.sign_ins.labels("unavailable").inc()
    log.warning("sign-in not possible now", user=user, error=str(error))
    return await _show(request, problems.describe(error), user)


async def _show(request: web.Request, problem: Problem | None, user: str = "") -> web.StreamResponse:
    fresh = request[VISIT].session is None
    if fresh:
        sid, session = await site_of(request).sessions.visitor()
        answers.replace_session(request, sid, session)
    onward = answers.safe_path(request.query.get("next", "/"))
    status = problem.status if problem else 200
    response = await answers.page(request, "login.html", status, problem=problem, user=user, onward=onward)
    if problem and problem.retry_s:
        response.headers["Retry-After"] = str(problem.retry_s)
    if fresh:
        answers.set_session_cookie(request, response, request[VISIT].sid)
    return response
