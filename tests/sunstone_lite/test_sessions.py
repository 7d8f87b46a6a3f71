"""Sessions: what the browser, the cache and the daemon hold, when a session ends, and what a dead cache means."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import pytest
from pymemcache.client.base import Client

from services.common.settings import Address
from services.sunstone_lite.cache import Cache, CacheAway
from services.sunstone_lite.sessions import Login, Sessions
from services.sunstone_lite.settings import SessionSettings
from tests.sunstone_lite.conftest import Browser, Clock, Memcached, browse, user_interface
from tests.sunstone_lite.recorded import Daemon
from tests.support.ports import free_port


def stored(server: Memcached) -> bytes:
    """Everything a memcached holds, values joined."""
    client = Client(server.address)
    keys = [line.split()[0].removeprefix(b"key=") for line in dump_keys(client)]
    found = b"".join(bytes(client.get(key) or b"") for key in keys)
    client.close()
    return b"\n".join(keys) + found


def dump_keys(client: Client) -> list[bytes]:
    lines: bytes = client.raw_command(b"lru_crawler metadump all", end_tokens=b"END\r\n")
    return [unquote_to_bytes(line) for line in lines.split(b"\n") if line.startswith(b"key=")]


async def test_signing_in_gives_a_new_id_and_ends_the_visitors_session(browser: Browser) -> None:
    await browser.get("/login")
    visitor = browser.cookie()
    await browser.sign_in()
    assert browser.cookie() != visitor
    browser.pretend(visitor)
    assert (await browser.get("/vms")).url.startswith("/login")


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(browser: Browser, ui: str) -> None:
    async with browser.http.get(ui + "/login") as answer:
        header = answer.headers["Set-Cookie"]
    assert "HttpOnly" in header and "SameSite=Strict" in header and "Path=/" in header and "Domain" not in header


async def test_an_id_the_server_did_not_make_is_never_adopted(browser: Browser) -> None:
    invented = "A" * 43
    browser.pretend(invented)
    await browser.get("/login")
    assert browser.cookie() != invented


async def test_neither_password_nor_token_nor_id_can_be_read_in_the_cache(
    signed_in: Browser, memcached: Memcached, daemon: Daemon
) -> None:
    held = stored(memcached)
    token = next(iter(daemon.tokens)).partition(":")[2]
    assert b"sunstone_lite:session:" in held
    assert b"opennebula" not in held and token.encode() not in held and signed_in.cookie().encode() not in held


async def test_calls_carry_a_login_token_and_never_the_password_again(signed_in: Browser, daemon: Daemon) -> None:
    daemon.users["oneadmin"] = "changed meanwhile"
    assert (await signed_in.get("/vms")).status == 200
    name, token, seconds, egid = daemon.called("one.user.login")[0]
    assert (name, token, egid) == ("oneadmin", "", -1) and int(str(seconds)) >= 28_800


async def test_an_idle_session_ends(signed_in: Browser, clock: Clock) -> None:
    clock.now += 1700
    assert (await signed_in.get("/vms")).url == "/vms"
    clock.now += 1700
    assert (await signed_in.get("/vms")).url == "/vms", "the visit in between kept it alive"
    clock.now += 1801
    assert (await signed_in.get("/vms")).url.startswith("/login")


async def test_a_page_refreshing_itself_does_not_keep_a_session_alive(signed_in: Browser, clock: Clock) -> None:
    for _ in range(3):
        clock.now += 599
        await signed_in.get("/vms", **{"X-Live": "1"})
    clock.now += 10
    assert (await signed_in.get("/vms", **{"X-Live": "1"})).status == 401


async def test_even_a_busy_session_ends_at_last(signed_in: Browser, clock: Clock) -> None:
    for _ in range(17):
        clock.now += 1700
        page = await signed_in.get("/vms")
    assert page.url.startswith("/login")


async def test_signing_out_ends_the_session_on_the_server_and_takes_the_token_back(
    signed_in: Browser, daemon: Daemon
) -> None:
    sid = signed_in.cookie()
    await signed_in.submit(await signed_in.get("/vms"), "/logout")
    assert daemon.tokens == set()
    signed_in.pretend(sid)
    assert (await signed_in.get("/vms")).url.startswith("/login")


async def test_a_session_works_on_every_ui_that_shares_the_cache(
    signed_in: Browser, clock: Clock, oned_url: str, memcached: Memcached
) -> None:
    async with user_interface(clock, [oned_url], [memcached.address]) as other:
        signed_in.base = other
        assert (await signed_in.get("/vms")).url == "/vms"


async def test_one_of_two_caches_may_die_and_come_back_empty(
    clock: Clock, oned_url: str, memcached: Memcached, second_memcached: Memcached
) -> None:
    caches = [memcached.address, second_memcached.address]
    async with user_interface(clock, [oned_url], caches) as base, browse(base) as browser:
        await browser.sign_in()
        memcached.kill()
        assert (await browser.get("/vms")).url == "/vms"
        memcached.start()
        assert (await browser.get("/vms")).url == "/vms"
        clock.now += 60  # long enough for the visit to be written down again, on both
        while not stored(memcached):
            assert (await browser.get("/vms")).url == "/vms"
            clock.now += 60
        second_memcached.kill()
        assert (await browser.get("/vms")).url == "/vms"


async def test_a_cache_that_slept_through_a_sign_out_does_not_bring_the_session_back(
    clock: Clock, memcached: Memcached, second_memcached: Memcached
) -> None:
    both = Cache([memcached.address, second_memcached.address])
    awake = Cache([second_memcached.address])
    login = Login(0, "oneadmin", "oneadmin", (0,), "token")
    sid, _ = await Sessions(both, SessionSettings(), clock).sign_in(None, login, clock.now + 3600)
    await Sessions(awake, SessionSettings(), clock).end(sid)
    assert await Sessions(both, SessionSettings(), clock).load(sid) is None
    both.close()
    awake.close()


async def test_a_value_written_into_the_cache_by_somebody_else_is_no_session(
    signed_in: Browser, memcached: Memcached
) -> None:
    client = Client(memcached.address)
    for line in dump_keys(client):
        key = line.split()[0].removeprefix(b"key=")
        client.set(key, b"\x7f" * 8 + b'{"csrf":"x","started":0,"seen":9e9,"until":9e9}')
    client.close()
    assert (await signed_in.get("/vms")).url.startswith("/login")


async def test_a_cache_that_is_away_is_said_to_be_away(signed_in: Browser, memcached: Memcached) -> None:
    memcached.kill()
    for path in ("/vms", "/login", "/"):
        page = await signed_in.get(path)
        assert page.status == 503
        assert "session store does not answer" in page.words and "password" in page.words
    memcached.start()


async def test_no_cache_at_all_raises_cache_away() -> None:
    cache = Cache([Address("127.0.0.1", free_port())])
    with pytest.raises(CacheAway):
        await cache.get("x")
    cache.close()
