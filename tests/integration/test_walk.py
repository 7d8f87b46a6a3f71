"""The walk: what a person does and what may die meanwhile, on real parts (MariaDB ×3, memcached, Chromium).

The tests of this module are steps of one story and run in order on one lab.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

from tests.deploy.onelite import attempt, onelite
from tests.integration.lab import ADMIN, Lab, eventually
from tests.support.programs import CHROMIUM, real_part

pytestmark = [pytest.mark.xdist_group("walk"), pytest.mark.timeout(240)]

NEW_LEADER_WITHIN_S = 3.0
REFUSED_WITHIN_S = 1.0
NETWORK = f"127.{64 + os.getpid() % 128}.250"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with tempfile.TemporaryDirectory(prefix="onelite-walk-") as name:
        folder = Path(name) / "lab"
        try:
            onelite("up", "--detach", "--db", "mariadb", "--cache", "memcached", "--network", NETWORK, folder=folder)
            yield Lab(folder)
        finally:
            attempt("down", folder=folder)


@pytest.fixture(scope="module")
def browser() -> Iterator[BrowserContext]:
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as profile:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=real_part(*CHROMIUM, package="chromium"), args=FLAGS, locale="en-US"
        )
        yield context
        context.close()


@pytest.fixture(scope="module")
def page(browser: BrowserContext, lab: Lab) -> Page:
    """Signed in through the balancer."""
    tab = browser.new_page()
    tab.goto(lab.url)
    tab.fill("[name=user]", "oneadmin")
    tab.fill("[name=password]", "opennebula")
    tab.click("main button")
    expect(tab.get_by_role("heading", name="Dashboard")).to_be_visible()
    return tab


def create(page: Page, lab: Lab, kind: str, **fields: str) -> None:
    """Fills the kind's form; select boxes by the text people see."""
    page.goto(f"{lab.url}/{kind}/new")
    for name, value in fields.items():
        field = page.locator(f"[name={name}]")
        if field.evaluate("one => one.tagName") == "SELECT":
            label = field.locator("option", has_text=value).first.text_content()
            field.select_option(label=(label or "").strip())
        else:
            field.fill(value)
    page.click("main form button.primary")


def state_of_vm(page: Page, lab: Lab, name: str, text: str, within_s: float = 30.0) -> None:
    page.goto(f"{lab.url}/vms")
    expect(page.locator(f'tr[data-name="{name}"] .state')).to_have_text(text, timeout=within_s * 1000)


def served_by(page: Page) -> str:
    text = page.locator("footer").inner_text()
    found = re.search(r"frontend(\d)", text)
    assert found is not None, text
    return found[0]


@pytest.fixture
def disk() -> Iterator[Path]:
    """A disk's file where the default datastore may read it (its SAFE_DIRS)."""
    with tempfile.NamedTemporaryFile(dir="/var/tmp", suffix=".raw") as file:
        yield Path(file.name)


def test_a_vm_is_made_from_nothing_in_the_browser(page: Page, lab: Lab, disk: Path) -> None:
    disk.write_bytes(os.urandom(1 << 20) * 2)
    create(page, lab, "hosts", name="node1")
    create(page, lab, "images", name="disk", path=str(disk), datastore="default")
    create(page, lab, "templates", name="web", cpu="0.5", memory="128")
    oned = lab.oned("frontend1")
    eventually(lambda: "<STATE>1</STATE>" in oned.image.info(ADMIN, 0)[1])
    eventually(lambda: "<STATE>2</STATE>" in oned.host.info(ADMIN, 0)[1])
    assert oned.template.update(ADMIN, 0, "DISK = [ IMAGE_ID = 0 ]", 1)[0] is True
    page.goto(f"{lab.url}/templates/0")
    page.get_by_role("link", name="Instantiate").or_(page.get_by_role("button", name="Instantiate")).first.click()
    page.fill("[name=name]", "vm1")
    page.click("main form button.primary")
    state_of_vm(page, lab, "vm1", "Running")
    source = re.search(r"<SOURCE><!\[CDATA\[(.*?)\]\]>", oned.image.info(ADMIN, 0)[1])
    assert source is not None
    assert Path(source[1]).read_bytes() == disk.read_bytes()
    assert (lab.datastores / "0" / "0" / "disk.0").read_bytes() == disk.read_bytes()


def test_the_next_clicks_work_when_the_ui_that_served_dies(page: Page, lab: Lab) -> None:
    page.goto(f"{lab.url}/vms")
    dead = served_by(page)
    lab.kill("sunstone", dead)
    for path in ("/hosts", "/images", "/vms", "/"):
        answer = page.goto(f"{lab.url}{path}")
        assert answer is not None and answer.status == 200
        assert page.locator("[name=password]").count() == 0, "signed out"
        assert served_by(page) != dead
    lab.start(dead)


def test_a_new_leader_takes_over_within_seconds_and_the_dead_one_comes_back_as_follower(page: Page, lab: Lab) -> None:
    old = lab.leader()
    survivors = [name for name in lab.endpoints if name != old]
    lab.kill("oned", old)
    began = time.monotonic()
    eventually(lambda: 3 in lab.states().values(), within_s=NEW_LEADER_WITHIN_S)
    assert time.monotonic() - began < NEW_LEADER_WITHIN_S
    for name in survivors:
        assert lab.oned(name).template.allocate(ADMIN, f"NAME = by-{name}")[0] is True
    page.goto(f"{lab.url}/")
    new = lab.leader()
    expect(page.locator("table tr", has_text=new).locator(".state", has_text="Leader")).to_be_visible(timeout=10_000)
    lab.start(old)
    eventually(lambda: lab.states().get(old) == 2)
    eventually(lambda: f"by-{survivors[-1]}" in lab.oned(old).templatepool.info(ADMIN, -2, -1, -1)[1])


def test_without_a_majority_writes_are_refused_at_once_and_reads_answer(page: Page, lab: Lab) -> None:
    leader = lab.leader()
    survivor = next(name for name in lab.states() if name != leader)
    others = [name for name in lab.states() if name != survivor]
    for name in others:
        lab.kill("oned", name)
    oned = lab.oned(survivor)
    eventually(lambda: oned.template.allocate(ADMIN, "NAME = never")[2] == 0x2000)
    began = time.monotonic()
    refused = oned.template.allocate(ADMIN, "NAME = never")
    assert refused[0] is False and "no leader" in refused[1]
    assert time.monotonic() - began < REFUSED_WITHIN_S
    assert "<NAME>vm1</NAME>" in oned.vm.info(ADMIN, 0)[1]
    lab.start(others[0])
    eventually(lambda: oned.template.allocate(ADMIN, "NAME = again")[0] is True)
    lab.start(others[1])


def test_a_vm_stopped_under_one_leader_resumes_under_the_next(page: Page, lab: Lab) -> None:
    old = lab.leader()
    assert lab.oned(old).vm.action(ADMIN, "stop", 0)[0] is True
    state_of_vm(page, lab, "vm1", "Stopped")
    folder = lab.datastores / "0" / "0"
    assert {one.name for one in folder.iterdir()} >= {"disk.0", "checkpoint"}
    lab.kill("oned", old)
    new = lab.leader()
    assert lab.oned(new).vm.action(ADMIN, "resume", 0)[0] is True
    state_of_vm(page, lab, "vm1", "Running")
    lab.start(old)
    eventually(lambda: lab.states().get(old) == 2)


def test_nothing_acknowledged_was_lost(page: Page, lab: Lab) -> None:
    acknowledged = []
    for number in range(30):
        if number == 10:
            lab.kill("oned", lab.leader())
        for name in lab.states():
            answer = lab.oned(name).template.allocate(ADMIN, f"NAME = kept-{number}-{name}")
            if answer[0] is True:
                acknowledged.append((answer[1], f"kept-{number}-{name}"))
    lab.start(*lab.endpoints)
    assert len({oid for oid, _ in acknowledged}) == len(acknowledged) > 40
    for frontend in lab.endpoints:
        oned = lab.oned(frontend)
        last = f"<NAME>{acknowledged[-1][1]}</NAME>"
        eventually(lambda o=oned, text=last: text in o.templatepool.info(ADMIN, -2, -1, -1)[1])
        pool = oned.templatepool.info(ADMIN, -2, -1, -1)[1]
        assert all(f"<ID>{oid}</ID>" in pool and f"<NAME>{name}</NAME>" in pool for oid, name in acknowledged)
