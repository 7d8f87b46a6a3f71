"""What the handlers share: the parts of the process and the visit they serve."""

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from services.common.oned import OnedClient
from services.sunstone_lite.assets import Assets
from services.sunstone_lite.cache import Cache
from services.sunstone_lite.connections import Usher
from services.sunstone_lite.delegation import Delegate
from services.sunstone_lite.metrics import Metrics
from services.sunstone_lite.rendering import Pages
from services.sunstone_lite.sessions import Login, Session, Sessions
from services.sunstone_lite.settings import Settings
from services.sunstone_lite.throttle import Throttle
from services.sunstone_lite.watch import Watch

THEMES = ("system", "light", "dark")
LIVE_HEADER = "X-Live"


@dataclass(frozen=True, slots=True)
class Site:
    """The parts of one UI process. None of them knows a visitor: that is all in the cache."""

    settings: Settings
    pages: Pages
    assets: Assets
    cache: Cache
    sessions: Sessions
    throttle: Throttle
    delegate: Delegate
    client: OnedClient
    watch: Watch
    metrics: Metrics
    usher: Usher
    clock: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Visit:
    """Who asks and how: session, language, theme, and whether the page's own script asks for fresh data."""

    sid: str
    session: Session | None
    language: str
    theme: str
    live: bool

    @property
    def login(self) -> Login | None:
        """The signed-in user."""
        return self.session.login if self.session else None

    @property
    def csrf(self) -> str:
        """The token that forms must send back."""
        return self.session.csrf if self.session else ""


SITE = web.AppKey("SITE", Site)
VISIT = web.RequestKey("VISIT", Visit)


def site_of(request: web.Request) -> Site:
    """The process's parts."""
    return request.app[SITE]


def login_of(request: web.Request) -> Login:
    """The signed-in user; handlers behind the guard always have one."""
    login = request[VISIT].login
    if login is None:
        raise web.HTTPFound("/login")
    return login


def session_string(request: web.Request) -> str:
    """First argument of the user's XML-RPC calls."""
    return site_of(request).delegate.session(login_of(request))
