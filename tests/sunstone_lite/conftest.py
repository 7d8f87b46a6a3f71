"""The UI on loopback with real parts beside it: memcached, and a daemon that plays recorded answers."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from services.common.settings import Address
from services.sunstone_lite.app import create_app
from services.sunstone_lite.settings import SessionSettings, Settings
from tests.sunstone_lite import recorded
from tests.support.ports import free_port
from tests.support.programs import real_part

DEADLINE_S = 5.0


class Memcached:
    """A real memcached on a free port. It may be killed and started again on the same port."""

    def __init__(self) -> None:
        self.address = Address("127.0.0.1", free_port())
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        program = real_part("memcached", package="memcached")
        user = ["-u", "nobody"]
        self._process = subprocess.Popen(
            [program, "-l", self.address.host, "-p", str(self.address.port), "-m", "8", "-t", "1", *user],
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._answers)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(self.address, timeout=0.2):
            return True
        return False


def wait_until(holds: object, deadline_s: float = DEADLINE_S) -> None:
    """Poll a condition; AssertionError when it does not come true in time."""
    assert callable(holds)
    end = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def memcached() -> Iterator[Memcached]:
    server = Memcached()
    yield server
    server.kill()


@pytest.fixture
def second_memcached() -> Iterator[Memcached]:
    server = Memcached()
    yield server
    server.kill()


@dataclass
class Clock:
    """Time that tests move."""

    now: float = field(default_factory=time.time)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def daemon() -> recorded.Daemon:
    return recorded.Daemon(documents=recorded.documents())


async def serve(app: web.Application, port: int = 0) -> tuple[web.AppRunner, int]:
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    return runner, runner.addresses[0][1]


@pytest.fixture
async def oned_url(daemon: recorded.Daemon) -> AsyncIterator[str]:
    runner, port = await serve(recorded.create_app(daemon))
    yield f"http://127.0.0.1:{port}/RPC2"
    await runner.cleanup()


class Page(HTMLParser):
    """What a browser without scripts needs of a page: texts, links and forms with their fields."""

    def __init__(self, status: int, url: str, html: str) -> None:
        super().__init__()
        self.status, self.url, self.html = status, url, html
        self.links: list[str] = []
        self.forms: list[Form] = []
        self.words = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "a":
            self.links.append(given.get("href", ""))
        elif tag == "form":
            self.forms.append(Form(given.get("action", ""), given.get("method", "get")))
        elif tag in ("input", "select", "textarea") and self.forms and "name" in given:
            form = self.forms[-1]
            form.names.add(given["name"])
            if tag == "input" and given.get("type") != "checkbox":
                form.values[given["name"]] = given.get("value", "")
            if tag == "select":
                form.selecting = given["name"]
        elif tag == "option" and self.forms and self.forms[-1].selecting:
            form = self.forms[-1]
            if "selected" in given or form.selecting not in form.values:
                form.values[form.selecting] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "select" and self.forms:
            self.forms[-1].selecting = ""

    def handle_data(self, data: str) -> None:
        self.words += data

    def form(self, action: str) -> Form:
        return next(form for form in self.forms if form.action == action)


@dataclass
class Form:
    action: str
    method: str
    values: dict[str, str] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    selecting: str = ""


class Browser:
    """A browser without scripts: follows redirects, keeps cookies, sends forms as they stand in the page."""

    def __init__(self, base: str, http: aiohttp.ClientSession) -> None:
        self.base, self.http = base, http

    async def get(self, path: str, **headers: str) -> Page:
        async with self.http.get(self.base + path, headers=headers) as answer:
            return Page(answer.status, answer.url.path_qs, await answer.text())

    async def post(self, path: str, data: dict[str, str] | list[tuple[str, str]], **headers: str) -> Page:
        async with self.http.post(self.base + path, data=data, headers=headers) as answer:
            return Page(answer.status, answer.url.path_qs, await answer.text())

    async def submit(self, page: Page, action: str, **fields: str) -> Page:
        form = page.form(action)
        unknown = fields.keys() - form.names - {"action", "oid"}
        assert not unknown, f"the form has no {unknown}"
        return await self.post(form.action or page.url, {**form.values, **fields})

    async def sign_in(self, user: str = "oneadmin", password: str = "opennebula") -> Page:
        return await self.submit(await self.get("/login"), "/login", user=user, password=password)

    async def act(self, page: Page, kind: str, action: str, *oids: int) -> Page:
        form = page.form(f"/{kind}/actions")
        fields = [("csrf", form.values["csrf"]), ("back", f"/{kind}"), ("action", action)]
        return await self.post(f"/{kind}/actions", fields + [("oid", str(oid)) for oid in oids])

    def pretend(self, sid: str) -> None:
        """Send this session id from now on."""
        self.http.cookie_jar.clear()
        self.http.cookie_jar.update_cookies({"sunstone_lite": sid}, URL(self.base))

    def cookie(self) -> str:
        return next(cookie.value for cookie in self.http.cookie_jar if cookie.key == "sunstone_lite")


@contextlib.asynccontextmanager
async def user_interface(clock: Clock, oned: list[str], caches: list[Address], port: int = 0) -> AsyncIterator[str]:
    settings = Settings(
        listen=Address("127.0.0.1", 0),
        oned=tuple(oned),
        cache=tuple(caches),
        name="frontend1",
        session=SessionSettings(idle_s=1800, absolute_s=28_800),
    )
    runner, port = await serve(create_app(settings, clock), port)
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


@contextlib.asynccontextmanager
async def browse(base: str) -> AsyncIterator[Browser]:
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar, headers={"Accept-Language": "en"}) as http:
        yield Browser(base, http)


@pytest.fixture
async def ui(clock: Clock, oned_url: str, memcached: Memcached) -> AsyncIterator[str]:
    async with user_interface(clock, [oned_url], [memcached.address]) as base:
        yield base


@pytest.fixture
async def browser(ui: str) -> AsyncIterator[Browser]:
    async with browse(ui) as found:
        yield found


@pytest.fixture
async def signed_in(browser: Browser) -> Browser:
    page = await browser.sign_in()
    assert page.status == 200 and page.url == "/", page.html
    return browser
