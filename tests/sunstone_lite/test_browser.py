"""What scripts add, in a real Chromium: fresh data, questions in place, selections that end, keys. And nothing else."""

from __future__ import annotations

import re
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright import async_api as playwright_api

from tests.sunstone_lite.conftest import Memcached
from tests.sunstone_lite.recorded import Daemon
from tests.support.programs import CHROMIUM, real_part

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pool(**states: tuple[int, int]) -> str:
    vms = "".join(
        f"<VM><ID>{n}</ID><NAME>{name}</NAME><STATE>{state}</STATE><LCM_STATE>{lcm}</LCM_STATE></VM>"
        for n, (name, (state, lcm)) in enumerate(states.items())
    )
    return f"<VM_POOL>{vms}</VM_POOL>"


RUNNING, BOOTING, OFF = (3, 3), (3, 2), (8, 0)


@pytest.fixture
async def page(ui: str, daemon: Daemon) -> AsyncIterator[playwright_api.Page]:
    """A signed-in page; the test fails on script errors and on anything the content security policy had to stop."""
    daemon.documents["one.vmpool.info"] = pool(web=BOOTING, db=RUNNING, mail=OFF)
    faults: list[str] = []
    async with playwright_api.async_playwright() as playwright:
        with tempfile.TemporaryDirectory() as profile:
            context = await playwright.chromium.launch_persistent_context(
                profile, executable_path=real_part(*CHROMIUM, package="chromium"), args=FLAGS, locale="en-US"
            )
            tab = await context.new_page()
            tab.on("pageerror", lambda error: faults.append(str(error)))
            tab.on("console", lambda message: faults.append(message.text) if "Security" in message.text else None)
            await tab.goto(f"{ui}/login")
            await tab.fill("[name=user]", "oneadmin")
            await tab.fill("[name=password]", "opennebula")
            await tab.click("main button")
            await tab.goto(f"{ui}/vms")
            yield tab
            await context.close()
    assert not faults


async def test_a_state_changes_before_ones_eyes_and_the_selection_stays(
    page: playwright_api.Page, daemon: Daemon
) -> None:
    expect = playwright_api.expect
    await page.check('tr[data-name="web"] input')
    await page.mouse.move(1, 1)
    daemon.documents["one.vmpool.info"] = pool(web=RUNNING, db=RUNNING, mail=OFF, new=BOOTING)
    await expect(page.locator('tr[data-name="web"] .state')).to_have_text("Running")
    await expect(page.locator('tr[data-name="new"]')).to_be_visible()
    await expect(page.locator('tr[data-name="web"] input')).to_be_checked()
    await expect(page.locator("[data-chosen]")).to_have_text("1")


async def test_rows_keep_their_places_under_the_pointer(page: playwright_api.Page, daemon: Daemon) -> None:
    expect = playwright_api.expect
    await page.hover('tr[data-name="db"]')
    daemon.documents["one.vmpool.info"] = pool(web=RUNNING, db=RUNNING, mail=OFF, new=BOOTING)
    await expect(page.locator('tr[data-name="web"] .state')).to_have_text("Running")
    assert await page.locator("tbody tr").count() == 3
    await page.mouse.move(1, 1)
    await expect(page.locator("tbody tr")).to_have_count(4)


async def test_a_grave_action_asks_by_name_and_the_selection_ends_with_it(
    page: playwright_api.Page, daemon: Daemon
) -> None:
    expect = playwright_api.expect
    await page.check('tr[data-name="db"] input')
    await page.click('button[value="terminate"]')
    await expect(page.locator("#ask li")).to_have_text(["db (#1)"])
    assert not daemon.called("one.vm.action")
    await page.click("[data-ask-yes]")
    await expect(page.locator(".toast")).to_contain_text("accepted")
    assert daemon.called("one.vm.action") == [["terminate", 1]]
    assert await page.locator("tbody input:checked").count() == 0
    await expect(page.locator(".bulk")).to_be_hidden()


async def test_no_is_no(page: playwright_api.Page, daemon: Daemon) -> None:
    await page.check("[data-all]")
    await page.click('button[value="terminate-hard"]')
    await page.click("[data-ask-no]")
    await playwright_api.expect(page.locator("#ask")).to_be_hidden()
    assert not daemon.called("one.vm.action")


async def test_slash_searches_and_the_filter_is_in_the_address(page: playwright_api.Page) -> None:
    expect = playwright_api.expect
    await page.keyboard.press("/")
    await page.keyboard.type("powered")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await expect(page).to_have_url(re.compile(r"/vms\?q=powered$"))
    await page.reload()
    await expect(page.locator("tbody tr")).to_have_count(1)
    await expect(page.locator("#search")).to_have_value("powered")


async def test_question_mark_helps_and_escape_closes(page: playwright_api.Page) -> None:
    await page.keyboard.press("?")
    await playwright_api.expect(page.locator("#help")).to_be_visible()
    await page.keyboard.press("Escape")
    await playwright_api.expect(page.locator("#help")).to_be_hidden()


async def test_the_theme_is_switched_and_kept(page: playwright_api.Page) -> None:
    async def ground() -> str:
        return str(await page.evaluate("getComputedStyle(document.body).backgroundColor"))

    light = await ground()
    await page.select_option("[name=theme]", "dark")
    await playwright_api.expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert await ground() != light
    await page.reload()
    assert await ground() != light


async def test_a_lost_connection_is_said_and_mended(page: playwright_api.Page, memcached: Memcached) -> None:
    expect = playwright_api.expect
    memcached.kill()
    await expect(page.locator("#lost")).to_be_visible(timeout=15_000)
    assert await page.locator("tbody tr").count() == 3, "the old data stays in view"
    memcached.start()
    await expect(page).to_have_url(re.compile("/login"), timeout=15_000)


async def test_nothing_is_wider_than_a_phone(page: playwright_api.Page) -> None:
    base = page.url.rpartition("/")[0]
    await page.set_viewport_size({"width": 390, "height": 844})
    for path in ("/", "/vms", "/vms/1", "/hosts", "/images/new", "/users"):
        await page.goto(base + path)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390, path


async def test_every_control_has_a_name(page: playwright_api.Page) -> None:
    base = page.url.rpartition("/")[0]
    for path in ("/", "/vms", "/hosts/new", "/vms/1"):
        await page.goto(base + path)
        nameless = await page.evaluate(
            """() => [...document.querySelectorAll("a, button, input:not([type=hidden]), select, textarea")]
                .filter((e) => !(e.innerText || e.textContent.trim() || e.labels?.[0]?.textContent.trim()
                    || e.getAttribute("aria-label") || e.closest("label")?.textContent.trim()))
                .map((e) => e.outerHTML)"""
        )
        assert nameless == [], path


def test_scripts_are_ours_alone() -> None:
    static = Path(__file__).parents[2] / "services" / "sunstone_lite" / "static"
    for script in static.glob("*.js"):
        assert not re.search(r"https?://|innerHTML|eval\(", script.read_text()), script.name
