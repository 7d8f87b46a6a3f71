"""Requests from elsewhere: form tokens, Fetch Metadata, headers, and methods that may change nothing."""

from __future__ import annotations

import re

import pytest

from services.sunstone_lite.kinds import KINDS
from tests.sunstone_lite.conftest import Browser, browse
from tests.sunstone_lite.recorded import Daemon

POSTS = ["/logout", "/preferences", "/vms/actions", "/hosts/new", "/templates/1/instantiate"]


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("token", ["", "wrong", "x" * 43])
async def test_a_form_without_the_sessions_token_does_nothing(
    signed_in: Browser, daemon: Daemon, path: str, token: str
) -> None:
    before = len(daemon.calls)
    page = await signed_in.post(path, {"csrf": token, "action": "terminate", "oid": "1", "confirmed": "yes"})
    assert page.status == 403 and "nothing was done" in page.words
    assert len(daemon.calls) == before


async def test_the_sign_in_form_needs_a_token_too(browser: Browser, daemon: Daemon) -> None:
    await browser.get("/login")
    page = await browser.post("/login", {"user": "oneadmin", "password": "opennebula"})
    assert page.status == 403 and not daemon.calls


async def test_the_visitors_token_is_worthless_after_signing_in(browser: Browser) -> None:
    before = (await browser.get("/login")).form("/login").values["csrf"]
    after = (await browser.sign_in()).form("/logout").values["csrf"]
    assert before != after
    assert (await browser.post("/logout", {"csrf": before})).status == 403


async def test_a_token_of_another_session_does_not_fit(signed_in: Browser, ui: str) -> None:
    async with browse(ui) as other:
        token = (await other.get("/login")).form("/login").values["csrf"]
    assert (await signed_in.post("/logout", {"csrf": token})).status == 403


async def test_a_browser_that_says_the_form_is_from_elsewhere_is_believed(signed_in: Browser) -> None:
    token = (await signed_in.get("/vms")).form("/logout").values["csrf"]
    page = await signed_in.post("/logout", {"csrf": token}, **{"Sec-Fetch-Site": "cross-site"})
    assert page.status == 403


async def test_reading_pages_never_asks_the_daemon_to_change_anything(signed_in: Browser, daemon: Daemon) -> None:
    before = len(daemon.calls)
    for kind in KINDS:
        for path in (f"/{kind}", f"/{kind}/1", f"/{kind}/new", f"/{kind}/actions?action=delete&oid=1"):
            await signed_in.get(path)
    asked = {method for method, _ in daemon.calls[before:]}
    assert asked and all(method.endswith("info") for method in asked)


@pytest.mark.parametrize("path", ["/", "/login", "/vms", "/healthz", "/nowhere", "/static/x/app.css"])
async def test_every_answer_has_the_security_headers(signed_in: Browser, path: str) -> None:
    async with signed_in.http.get(signed_in.base + path) as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Served-By"] == "frontend1"
        assert "Python" not in answer.headers["Server"]


@pytest.mark.parametrize("path", ["/", "/vms", "/vms/1", "/hosts/new", "/login"])
async def test_no_page_has_script_or_style_inline(signed_in: Browser, path: str) -> None:
    html = (await signed_in.get(path)).html
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*src=)", html)


async def test_pages_are_not_kept_by_caches_but_assets_are(signed_in: Browser) -> None:
    html = (await signed_in.get("/")).html
    async with signed_in.http.get(signed_in.base + "/vms") as answer:
        assert answer.headers["Cache-Control"] == "no-store"
    sheet = re.search(r'href="(/static/[^"]+\.css)"', html)
    assert sheet is not None
    async with signed_in.http.get(signed_in.base + sheet[1]) as answer:
        assert "immutable" in answer.headers["Cache-Control"] and answer.content_type == "text/css"


async def test_names_made_of_markup_are_shown_as_text(signed_in: Browser, daemon: Daemon) -> None:
    nasty = "&lt;img src=x onerror=alert(1)&gt;"
    daemon.documents["one.hostpool.info"] = (
        f"<HOST_POOL><HOST><ID>1</ID><NAME>{nasty}</NAME><STATE>2</STATE></HOST></HOST_POOL>"
    )
    page = await signed_in.get("/hosts")
    assert "<img" not in page.html and "<img src=x onerror=alert(1)>" in page.words


async def test_a_body_that_is_too_large_is_refused(signed_in: Browser) -> None:
    page = await signed_in.post("/preferences", {"csrf": "x" * 300_000})
    assert page.status == 413
