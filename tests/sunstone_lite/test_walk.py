"""The core of the walk on the real daemon, by a browser without scripts."""

from __future__ import annotations

import asyncio
import hashlib
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.common.oned import OnedClient, OnedFailure
from services.common.settings import Address
from services.sunstone_lite.app import create_app
from services.sunstone_lite.settings import Settings
from tests.sunstone_lite.conftest import Browser, Clock, Memcached, Page, browse, serve, user_interface
from tests.support.ports import free_port

ADMIN = "oneadmin:opennebula"
START_S = 20
SETTLE_S = 20


@dataclass
class RealDaemon:
    """`oned-lite --solo` on a folder of its own."""

    url: str
    client: OnedClient


@pytest.fixture
async def oned(tmp_path: Path) -> AsyncIterator[RealDaemon]:
    process, url = started(tmp_path)
    client = OnedClient([url], timeout_s=5)
    try:
        await until_answering(client, process)
        for datastore in (0, 1, 2):
            await client.call(ADMIN, "one.datastore.update", datastore, "TM_MAD = shared", 1)
        yield RealDaemon(url, client)
    finally:
        process.kill()
        process.wait()


def started(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    port = free_port()
    command = [sys.executable, "-m", "services.oned_lite.main", "--solo", "--listen", f"127.0.0.1:{port}"]
    with (folder / "oned.log").open("wb") as log:
        process = subprocess.Popen([*command, "--data", str(folder / "oned")], stderr=log)
    return process, f"http://127.0.0.1:{port}/RPC2"


async def until_answering(client: OnedClient, process: subprocess.Popen[bytes]) -> None:
    async with asyncio.timeout(START_S):
        while True:
            try:
                await client.call(ADMIN, "one.system.version")
                return
            except OnedFailure:
                assert process.poll() is None, "see oned.log"
                await asyncio.sleep(0.05)


@pytest.fixture
def disk() -> Iterator[Path]:
    """A small file in a folder that datastores may copy from."""
    path = Path("/var/tmp") / f"sunstone-walk-{free_port()}.img"  # SAFE_DIRS of a fresh daemon
    path.write_bytes(b"\0" * 1024 * 1024)
    yield path
    path.unlink()


async def make(browser: Browser, kind: str, **fields: str) -> None:
    page = await browser.submit(await browser.get(f"/{kind}/new"), "", **fields)
    assert page.url == f"/{kind}" and "was created with id" in page.words, page.words


async def until_state(browser: Browser, code: str) -> Page:
    async with asyncio.timeout(SETTLE_S):
        while True:
            page = await browser.get("/vms/0")
            if re.search(rf'class="state \w+" title="{code}"', page.html):
                return page
            await asyncio.sleep(0.1)


async def test_create_instantiate_and_a_whole_life(
    clock: Clock, oned: RealDaemon, memcached: Memcached, disk: Path
) -> None:
    async with user_interface(clock, [oned.url], [memcached.address]) as base, browse(base) as browser:
        await browser.sign_in()
        await make(browser, "hosts", name="kvm1", driver="dummy")
        await make(browser, "images", name="tiny", type="OS", datastore="1", path=str(disk))
        await make(browser, "templates", name="small", cpu="0.5", memory="64", image="0")
        await make(browser, "users", name="ann", password="annpw", group="1")
        page = await browser.submit(await browser.get("/templates/0/instantiate"), "", name="web")
        assert page.url == "/vms/0"
        await until_state(browser, "RUNNING")
        for action, state in [
            ("stop", "STOPPED"),
            ("resume", "RUNNING"),
            ("suspend", "SUSPENDED"),
            ("resume", "RUNNING"),
            ("poweroff", "POWEROFF"),
            ("terminate", "DONE"),
        ]:
            page = await browser.act(await browser.get("/vms"), "vms", action, 0)
            if page.url == "/vms/actions":
                page = await browser.submit(page, "/vms/actions")
            assert "accepted" in page.words, page.words
            await until_state(browser, state)


async def test_a_ui_that_dies_takes_nobody_with_it(clock: Clock, oned: RealDaemon, memcached: Memcached) -> None:
    async with user_interface(clock, [oned.url], [memcached.address]) as first, browse(first) as browser:
        await browser.sign_in()
        async with user_interface(clock, [oned.url], [memcached.address]) as second:
            browser.base = second
            await make(browser, "hosts", name="kvm1", driver="dummy")


async def test_a_plain_user_signs_in_and_sees_less(clock: Clock, oned: RealDaemon, memcached: Memcached) -> None:
    await oned.client.call(ADMIN, "one.user.allocate", "ann", "annpw", "core", [])
    async with user_interface(clock, [oned.url], [memcached.address]) as base, browse(base) as browser:
        page = await browser.sign_in("ann", "annpw")
        assert page.url == "/" and 'data-role="' in page.html
        page = await browser.submit(await browser.get("/users/new"), "", name="eve", password="x")
        assert page.status == 403 and "Not authorized to perform CREATE USER" in page.words


@pytest.mark.parametrize(("password", "tokens"), [("server-secret", 0), ("another", 1)])
async def test_server_credentials_make_tokens_needless_and_wrong_ones_do_no_harm(
    clock: Clock, oned: RealDaemon, memcached: Memcached, tmp_path: Path, password: str, tokens: int
) -> None:
    # as `oneuser passwd --sha256`: for a user of the server_cipher driver the hash itself is the key
    await oned.client.call(ADMIN, "one.user.passwd", 1, hashlib.sha256(b"server-secret").hexdigest())
    (tmp_path / "sunstone_auth").write_text(f"serveradmin:{password}\n")
    settings = Settings(
        listen=Address("127.0.0.1", 0),
        oned=(oned.url,),
        cache=(memcached.address,),
        server_credentials=tmp_path / "sunstone_auth",
    )
    runner, port = await serve(create_app(settings, clock))
    async with browse(f"http://127.0.0.1:{port}") as browser:
        assert (await browser.sign_in("oneadmin", "wrong")).status == 401
        assert (await browser.sign_in()).url == "/"
        await make(browser, "hosts", name="kvm1", driver="dummy")
    await runner.cleanup()
    assert str(await oned.client.call(ADMIN, "one.user.info", 0)).count("<LOGIN_TOKEN>") == tokens
