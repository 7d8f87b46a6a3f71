"""Pages drawn from recorded answers of OpenNebula 6.8.0, for every kind, in both languages, without scripts."""

from __future__ import annotations

import re

import pytest

from services.sunstone_lite import items, listing, states
from services.sunstone_lite.kinds import KINDS
from services.sunstone_lite.kinds.vm import VMS
from tests.sunstone_lite import recorded
from tests.sunstone_lite.conftest import Browser, Clock, Memcached, browse, user_interface
from tests.sunstone_lite.recorded import Daemon
from tests.support.ports import free_port


@pytest.mark.parametrize("language", ["en", "pt-BR"])
@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_has_a_list_with_each_object_of_the_pool(
    signed_in: Browser, daemon: Daemon, kind: str, language: str
) -> None:
    described = KINDS[kind]
    pool = items.parse(daemon.documents[described.pool.method]).all(described.tag)
    page = await signed_in.get(f"/{kind}?size=100", **{"Accept-Language": language})
    assert page.status == 200 and pool
    for item in pool:
        assert f"/{kind}/{item.oid}" in page.links and item.name in page.words
    assert f'<html lang="{language}"' in page.html


@pytest.mark.parametrize("language", ["en", "pt-BR"])
@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_has_a_page_for_one_object(
    signed_in: Browser, daemon: Daemon, kind: str, language: str
) -> None:
    item = items.parse(daemon.documents[KINDS[kind].info])
    page = await signed_in.get(f"/{kind}/{item.oid}", **{"Accept-Language": language})
    assert page.status == 200 and item.name in page.words
    assert daemon.calls[-1] == (KINDS[kind].info, [item.oid])


@pytest.mark.parametrize("language", ["en", "pt-BR"])
@pytest.mark.parametrize("kind", [key for key, kind in KINDS.items() if kind.create])
async def test_every_form_has_a_label_for_each_field(signed_in: Browser, kind: str, language: str) -> None:
    page = await signed_in.get(f"/{kind}/new", **{"Accept-Language": language})
    assert page.status == 200
    fields = set(re.findall(r'id="f-(\w+)"', page.html))
    assert fields and fields == set(re.findall(r'<label for="f-(\w+)"', page.html))


async def test_secrets_of_a_user_stay_on_the_server(signed_in: Browser, daemon: Daemon) -> None:
    page = await signed_in.get("/users/2")
    hidden = items.parse(daemon.documents["one.user.info"])
    for secret in (hidden.text("PASSWORD"), hidden.text("TEMPLATE/TOKEN_PASSWORD")):
        assert secret and secret not in page.html


async def test_the_ha_table_shows_each_server_as_it_is(
    clock: Clock, memcached: Memcached, oned_url: str, daemon: Daemon
) -> None:
    away = f"http://127.0.0.1:{free_port()}/RPC2"
    daemon.documents["one.zone.info"] = (
        "<ZONE><ID>0</ID><NAME>z</NAME><STATE>0</STATE><TEMPLATE/><SERVER_POOL>"
        f"<SERVER><ENDPOINT>{oned_url}</ENDPOINT><ID>0</ID><NAME>alpha</NAME></SERVER>"
        f"<SERVER><ENDPOINT>{away}</ENDPOINT><ID>1</ID><NAME>beta</NAME></SERVER></SERVER_POOL></ZONE>"
    )
    daemon.raft = (
        "<RAFT><SERVER_ID>0</SERVER_ID><STATE>3</STATE><TERM>109</TERM><VOTEDFOR>0</VOTEDFOR><COMMIT>41</COMMIT>"
        "<LOG_INDEX>42</LOG_INDEX><LOG_TERM>101</LOG_TERM><FEDLOG_INDEX>-1</FEDLOG_INDEX></RAFT>"
    )
    async with user_interface(clock, [oned_url, away], [memcached.address]) as base, browse(base) as browser:
        page = await browser.sign_in()
    leader = re.search(r'data-server="alpha" data-role="(\w+)"(.*?)</tr>', page.html, re.DOTALL)
    lost = re.search(r'data-server="beta" data-role="(\w+)"(.*?)</tr>', page.html, re.DOTALL)
    assert leader and leader[1] == "leader" and all(f">{n}<" in leader[2] for n in (109, 42, 41))
    assert lost and lost[1] == "away" and "Unreachable" in lost[2]
    assert "Reading only" in page.words, "one of two is no majority"


async def test_who_may_not_ask_for_raftstatus_sees_what_health_says(signed_in: Browser, daemon: Daemon) -> None:
    daemon.refuse["one.zone.raftstatus"] = (0x200, "User [2] : Not authorized to perform ADMIN ZONE [0].")
    page = await signed_in.get("/")
    assert page.status == 200 and 'data-role="' in page.html


async def test_the_footer_and_a_header_say_who_served(signed_in: Browser) -> None:
    page = await signed_in.get("/")
    assert re.search(r"served by\s+frontend1", page.words)


async def test_an_unchanged_page_is_not_sent_again(signed_in: Browser) -> None:
    live = {"X-Live": "1"}
    async with signed_in.http.get(signed_in.base + "/hosts", headers=live) as answer:
        etag = answer.headers["ETag"]
    async with signed_in.http.get(signed_in.base + "/hosts", headers={**live, "If-None-Match": etag}) as answer:
        assert answer.status == 304 and not await answer.read()


async def test_a_zone_without_a_leader_is_shown_on_every_page(
    clock: Clock, memcached: Memcached, oned_url: str, daemon: Daemon
) -> None:
    async with user_interface(clock, [oned_url], [memcached.address]) as base, browse(base) as browser:
        await browser.sign_in()
        daemon.leaderless = True
        page = await browser.get("/vms")
        while "No leader: reading only." not in page.words:
            page = await browser.get("/vms")
        assert page.status == 200 and "No leader" in page.words


async def test_a_dead_daemon_is_a_503_that_reloads_itself(clock: Clock, memcached: Memcached, daemon: Daemon) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/RPC2"
    from tests.sunstone_lite.conftest import serve

    runner, _ = await serve(recorded.create_app(daemon), port)
    async with user_interface(clock, [url], [memcached.address]) as base, browse(base) as browser:
        await browser.sign_in()
        await runner.cleanup()
        async with browser.http.get(base + "/vms") as answer:
            assert answer.status == 503 and answer.headers["Refresh"] and answer.headers["Retry-After"]
            assert "OpenNebula does not answer" in await answer.text()
        assert (await browser.get("/nowhere")).status == 404


async def test_the_next_server_answers_when_the_own_one_is_away(
    clock: Clock, memcached: Memcached, oned_url: str
) -> None:
    away = f"http://127.0.0.1:{free_port()}/RPC2"
    async with user_interface(clock, [away, oned_url], [memcached.address]) as base, browse(base) as browser:
        assert (await browser.sign_in()).url == "/"
        page = await browser.get("/vms")
        while "own control server is away" not in page.words:
            page = await browser.get("/vms")
        assert page.status == 200


async def test_language_and_theme_are_chosen_and_kept(signed_in: Browser) -> None:
    page = await signed_in.submit(await signed_in.get("/vms"), "/preferences", language="pt_BR", theme="dark")
    assert page.url == "/vms" and '<html lang="pt-BR" data-theme="dark">' in page.html
    assert "Máquinas virtuais" in page.words


async def test_health_names_every_part(ui: str, browser: Browser, memcached: Memcached) -> None:
    async def health() -> tuple[int, dict[str, object]]:
        async with browser.http.get(ui + "/healthz") as answer:
            return answer.status, await answer.json()

    status, body = await health()
    while status != 200:
        status, body = await health()
    assert body["cache"] == {str(memcached.address): True} and body["name"] == "frontend1"
    memcached.kill()
    status, body = await health()
    assert status == 503 and body["cache"] == {str(memcached.address): False}


async def test_metrics_count_requests_and_sign_ins(signed_in: Browser) -> None:
    text = (await signed_in.get("/metrics")).words
    assert 'sunstone_sign_ins_total{outcome="ok"} 1.0' in text and "sunstone_request_seconds_bucket" in text


def vms(count: int) -> tuple[items.Item, ...]:
    return tuple(
        items.parse(f"<VM><ID>{n}</ID><NAME>vm{n:02}</NAME><STATE>{8 if n % 2 else 1}</STATE><UNAME>ann</UNAME></VM>")
        for n in range(count)
    )


def shown(query: dict[str, str], count: int = 60) -> listing.Listing:
    return listing.show(VMS, vms(count), listing.read(VMS, query))


def test_a_list_starts_with_the_newest() -> None:
    assert [row.item.oid for row in shown({}).rows][:3] == [59, 58, 57]


def test_every_word_of_a_filter_must_be_in_the_row() -> None:
    assert shown({"q": "vm07"}).matching == 1
    assert shown({"q": "powered ANN"}).matching == 30
    assert shown({"q": "powered bob"}).matching == 0
    assert [row.item.oid for row in shown({"q": "#7"}).rows] == [7]


def test_columns_sort_both_ways_and_ties_keep_their_order() -> None:
    up, down = shown({"sort": "state", "size": "100"}), shown({"sort": "-state", "size": "100"})
    assert [row.item.oid for row in up.rows] == [row.item.oid for row in reversed(down.rows)]


def test_pages_are_bounded_and_odd_queries_become_defaults() -> None:
    assert shown({"page": "99"}).query.page == 3 and len(shown({"page": "99"}).rows) == 10
    odd = listing.read(VMS, {"page": "-1", "size": "7", "sort": "nothing", "q": "x" * 999})
    assert (odd.page, odd.size, odd.sort, len(odd.words)) == (1, 25, "id", listing.QUERY_MAX)


def test_the_url_of_a_list_leaves_defaults_out_and_reads_back() -> None:
    query = listing.read(VMS, {"q": "a&b", "sort": "name", "size": "50"})
    assert query.url("vms") == "/vms?q=a%26b&sort=name&size=50"
    assert listing.Query().url("vms") == "/vms"


@pytest.mark.parametrize(
    ("state", "lcm", "code", "tone"),
    [
        (1, 0, "PENDING", "busy"),
        (3, 3, "RUNNING", "good"),
        (3, 16, "UNKNOWN", "warn"),
        (3, 36, "BOOT_FAILURE", "bad"),
        (3, 31, "PROLOG_UNDEPLOY", "busy"),
        (3, 70, "BACKUP_POWEROFF", "busy"),
        (3, 99, "99", "warn"),
        (8, 0, "POWEROFF", "idle"),
        (99, 0, "99", "warn"),
    ],
)
def test_states_of_a_vm(state: int, lcm: int, code: str, tone: str) -> None:
    item = items.parse(f"<VM><STATE>{state}</STATE><LCM_STATE>{lcm}</LCM_STATE></VM>")
    found = states.vm(item)
    assert (found.code, found.tone) == (code, tone)


def test_every_lcm_state_has_a_word() -> None:
    for number, name in enumerate(states.LCM_STATES[1:], 1):
        item = items.parse(f"<VM><STATE>3</STATE><LCM_STATE>{number}</LCM_STATE></VM>")
        assert states.vm(item).label != "Unknown" or name == "UNKNOWN", name


async def test_people_find_what_they_see_in_their_language(signed_in: Browser, daemon: Daemon) -> None:
    daemon.documents["one.vmpool.info"] = (
        "<VM_POOL><VM><ID>1</ID><NAME>a</NAME><STATE>3</STATE><LCM_STATE>3</LCM_STATE></VM>"
        "<VM><ID>2</ID><NAME>b</NAME><STATE>8</STATE></VM></VM_POOL>"
    )
    page = await signed_in.get("/vms?q=rodando", **{"Accept-Language": "pt-BR"})
    assert "/vms/1" in page.links and "/vms/2" not in page.links


async def test_one_refused_pool_hides_neither_dashboard_nor_form(signed_in: Browser, daemon: Daemon) -> None:
    daemon.refuse["one.vnpool.info"] = (0x200, "User [2] : Not authorized.")
    assert (await signed_in.get("/")).status == 200
    assert "f-network" in (await signed_in.get("/templates/new")).html
    assert (await signed_in.get("/networks")).status == 403


async def test_what_is_not_there_is_said_in_the_visitors_language(signed_in: Browser) -> None:
    page = await signed_in.get("/nothing/here", **{"Accept-Language": "pt-BR"})
    assert page.status == 404 and "Essa página não existe" in page.words and "/vms" in page.links


async def test_an_answer_nobody_can_read_is_our_fault_and_says_so(signed_in: Browser, daemon: Daemon) -> None:
    daemon.documents["one.hostpool.info"] = "<HOST_POOL><HOST>"
    async with signed_in.http.get(signed_in.base + "/hosts") as answer:
        assert answer.status == 500 and answer.headers["Content-Security-Policy"]
        assert "Something went wrong here" in await answer.text()
