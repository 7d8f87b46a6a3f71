"""Signing in: what is verified, what is told, how guessing is slowed, and whose fault a refusal is said to be."""

from __future__ import annotations

import pytest

from services.sunstone_lite.cache import Cache
from services.sunstone_lite.throttle import FREE_ATTEMPTS, LONGEST_PAUSE_S, Throttle, pause_s
from tests.sunstone_lite.conftest import Browser, Clock, Memcached, browse, user_interface
from tests.sunstone_lite.recorded import Daemon
from tests.support.ports import free_port

GENERIC = "The user name or the password is wrong"


@pytest.mark.parametrize(("user", "password"), [("oneadmin", "pa55-A"), ("nobody", "pa55-B"), ("one:admin", "pa55-C")])
async def test_a_refusal_says_the_same_whatever_was_wrong(browser: Browser, user: str, password: str) -> None:
    page = await browser.sign_in(user, password)
    assert page.status == 401 and GENERIC in page.words
    assert password not in page.html


async def test_the_page_asked_for_comes_after_signing_in(browser: Browser) -> None:
    page = await browser.get("/hosts?q=kvm")
    assert page.url.startswith("/login?next=")
    page = await browser.submit(page, "/login", user="oneadmin", password="opennebula")
    assert page.url == "/hosts?q=kvm"


@pytest.mark.parametrize("next_path", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:x"])
async def test_nobody_is_sent_to_another_site(browser: Browser, next_path: str) -> None:
    page = await browser.get("/login")
    fields = {**page.form("/login").values, "user": "oneadmin", "password": "opennebula", "next": next_path}
    assert (await browser.post("/login", fields)).url == "/"


async def test_guessing_is_slowed_down_for_the_account_and_for_no_other(browser: Browser, daemon: Daemon) -> None:
    statuses = [(await browser.sign_in("oneadmin", f"guess{n}")).status for n in range(FREE_ATTEMPTS + 3)]
    assert statuses.count(401) == FREE_ATTEMPTS and statuses[-1] == 429
    tried = len(daemon.called("one.user.info"))
    page = await browser.sign_in()
    assert page.status == 429 and len(daemon.called("one.user.info")) == tried, "the daemon is not even asked"
    assert (await browser.sign_in("ann", "annpw")).url == "/"


async def test_the_count_is_shared_by_all_uis(
    browser: Browser, clock: Clock, oned_url: str, memcached: Memcached
) -> None:
    for n in range(FREE_ATTEMPTS + 1):
        await browser.sign_in("oneadmin", f"guess{n}")
    async with user_interface(clock, [oned_url], [memcached.address]) as other, browse(other) as second:
        assert (await second.sign_in()).status == 429


async def test_the_right_password_in_time_starts_the_count_anew(browser: Browser) -> None:
    for _ in range(3):
        for n in range(FREE_ATTEMPTS - 2):
            assert (await browser.sign_in("oneadmin", f"guess{n}")).status == 401
        page = await browser.sign_in()
        assert page.url == "/"
        await browser.submit(page, "/logout")


async def test_after_the_free_attempts_one_is_let_through_for_each_pause(memcached: Memcached) -> None:
    cache = Cache([memcached.address])
    throttle = Throttle(cache)
    admitted = [await throttle.admit("ann") for _ in range(FREE_ATTEMPTS + 4)]
    cache.close()
    assert admitted == [True] * FREE_ATTEMPTS + [False] * 4


def test_pauses_double_up_to_a_bound() -> None:
    pauses = [pause_s(attempt) for attempt in range(1, 20)]
    assert pauses[: FREE_ATTEMPTS - 1] == [0] * (FREE_ATTEMPTS - 1)
    assert pauses[FREE_ATTEMPTS - 1 : FREE_ATTEMPTS + 2] == [4, 8, 16]
    assert max(pauses) == LONGEST_PAUSE_S


async def test_a_zone_without_a_leader_is_not_called_a_wrong_password(browser: Browser, daemon: Daemon) -> None:
    daemon.leaderless = True
    for _ in range(FREE_ATTEMPTS + 2):
        page = await browser.sign_in()
        assert page.status == 503 and "no leader" in page.words and GENERIC not in page.words
    daemon.leaderless = False
    assert (await browser.sign_in()).url == "/", "nothing was counted against the user"


async def test_a_daemon_that_is_away_is_not_called_a_wrong_password(clock: Clock, memcached: Memcached) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}/RPC2"
    async with user_interface(clock, [nowhere], [memcached.address]) as base, browse(base) as browser:
        page = await browser.sign_in()
        assert page.status == 503 and "OpenNebula does not answer" in page.words and GENERIC not in page.words


async def test_an_eleventh_session_shares_a_token_and_leaves_it_alone(browser: Browser, daemon: Daemon) -> None:
    daemon.users["bob"] = "hunter2"
    daemon.tokens.add("bob:kept")
    daemon.refuse["one.user.login"] = (0x1000, "Max number of tokens limit reached.")
    daemon.login_tokens = (
        "<LOGIN_TOKEN><TOKEN>kept</TOKEN><EXPIRATION_TIME>-1</EXPIRATION_TIME><EGID>-1</EGID></LOGIN_TOKEN>"
    )
    page = await browser.sign_in("bob", "hunter2")
    assert page.url == "/"
    del daemon.refuse["one.user.login"]
    await browser.submit(page, "/logout")
    assert "bob:kept" in daemon.tokens


async def test_a_token_revoked_elsewhere_asks_to_sign_in_again(signed_in: Browser, daemon: Daemon) -> None:
    daemon.tokens.clear()
    page = await signed_in.get("/vms")
    assert page.url == "/login?ended=1" and "session has ended" in page.words
