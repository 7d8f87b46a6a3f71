"""What buttons and forms ask of the daemon, and what they say afterwards."""

from __future__ import annotations

import pytest

from services.common.template import parse
from services.sunstone_lite import items
from services.sunstone_lite.kinds import KINDS, Action
from services.sunstone_lite.kinds.vm import VMS
from tests.sunstone_lite.conftest import Browser
from tests.sunstone_lite.recorded import Daemon

QUIET_VM_ACTIONS = [action for action in VMS.actions if not action.grave]


@pytest.mark.parametrize("action", QUIET_VM_ACTIONS, ids=lambda action: action.key)
async def test_a_vm_action_is_asked_for_each_chosen_machine(signed_in: Browser, daemon: Daemon, action: Action) -> None:
    page = await signed_in.act(await signed_in.get("/vms"), "vms", action.key, 3, 5)
    assert daemon.called(action.call(3).method) == [list(action.call(oid).params) for oid in (3, 5)]
    assert page.url == "/vms" and "2 accepted" in page.words
    assert "2 accepted" not in (await signed_in.get("/vms")).words, "a message is shown once"


@pytest.mark.parametrize(("kind", "action"), [(k.key, a.key) for k in KINDS.values() for a in k.actions if a.grave])
async def test_a_grave_action_lists_names_and_asks_first(
    signed_in: Browser, daemon: Daemon, kind: str, action: str
) -> None:
    described = KINDS[kind]
    item = items.parse(daemon.documents[described.pool.method]).all(described.tag)[0]
    page = await signed_in.act(await signed_in.get(f"/{kind}"), kind, action, item.oid)
    wanted = next(found for found in described.actions if found.key == action).call(item.oid)
    assert item.name in page.words and not daemon.called(wanted.method)
    page = await signed_in.submit(page, f"/{kind}/actions")
    assert daemon.called(wanted.method) == [list(wanted.params)]
    assert page.url == f"/{kind}" and "accepted" in page.words


@pytest.mark.parametrize(
    ("kind", "action", "method", "params"),
    [
        ("hosts", "enable", "one.host.status", [4, 0]),
        ("hosts", "disable", "one.host.status", [4, 1]),
        ("images", "enable", "one.image.enable", [4, True]),
        ("images", "disable", "one.image.enable", [4, False]),
        ("datastores", "enable", "one.datastore.enable", [4, True]),
    ],
)
async def test_switches(
    signed_in: Browser, daemon: Daemon, kind: str, action: str, method: str, params: list[object]
) -> None:
    await signed_in.act(await signed_in.get(f"/{kind}"), kind, action, 4)
    assert daemon.called(method) == [params]


@pytest.mark.parametrize(
    ("action", "params"), [("resume", ["resume", 4]), ("stop", ["stop", 4]), ("hold", ["hold", 4])]
)
async def test_the_action_comes_before_the_id(
    signed_in: Browser, daemon: Daemon, action: str, params: list[object]
) -> None:
    await signed_in.act(await signed_in.get("/vms"), "vms", action, 4)
    assert daemon.called("one.vm.action") == [params]


async def test_refusals_are_told_one_by_one_in_the_daemons_words(signed_in: Browser, daemon: Daemon) -> None:
    daemon.refuse["one.vm.action"] = (0x800, "This action is not available for state PENDING")
    page = await signed_in.act(await signed_in.get("/vms"), "vms", "resume", 3, 5)
    assert "0 accepted, 2 refused" in page.words and "#5: [one.vm.action] This action is not" in page.words


async def test_without_a_leader_the_action_says_so(signed_in: Browser, daemon: Daemon) -> None:
    daemon.leaderless = True
    page = await signed_in.act(await signed_in.get("/vms"), "vms", "resume", 3)
    assert "no leader right now" in page.words


async def test_nothing_selected_is_said(signed_in: Browser, daemon: Daemon) -> None:
    page = await signed_in.act(await signed_in.get("/vms"), "vms", "resume")
    assert "Nothing was selected" in page.words and not daemon.called("one.vm.action")


async def test_an_action_that_does_not_exist_is_refused(signed_in: Browser) -> None:
    assert (await signed_in.act(await signed_in.get("/vms"), "vms", "explode", 3)).status == 400


@pytest.mark.parametrize(("code", "offered"), [(3, {"poweroff", "terminate"}), (8, {"resume", "undeploy"})])
async def test_a_page_offers_what_the_state_allows(
    signed_in: Browser, daemon: Daemon, code: int, offered: set[str]
) -> None:
    daemon.documents["one.vm.info"] = (
        f"<VM><ID>9</ID><NAME>x</NAME><STATE>{code}</STATE><LCM_STATE>{3 if code == 3 else 0}</LCM_STATE></VM>"
    )
    page = await signed_in.get("/vms/9")
    assert all(f'value="{key}"' in page.html for key in offered)
    assert 'value="hold"' not in page.html and 'value="release"' not in page.html


async def create(browser: Browser, kind: str, **fields: str) -> object:
    return await browser.submit(await browser.get(f"/{kind}/new"), "", **fields)


async def test_create_a_host(signed_in: Browser, daemon: Daemon) -> None:
    await create(signed_in, "hosts", name="kvm7", driver="dummy", cluster="0")
    assert daemon.called("one.host.allocate") == [["kvm7", "dummy", "dummy", 0]]


async def test_create_an_image_from_a_file(signed_in: Browser, daemon: Daemon) -> None:
    await create(
        signed_in, "images", name="alpine", type="OS", datastore="100", path="/var/tmp/a.qcow2", persistent="yes"
    )
    (text, datastore), *_ = daemon.called("one.image.allocate")
    template = parse(str(text))
    assert datastore == 100 and template.get("PATH") == "/var/tmp/a.qcow2" and template.get("PERSISTENT") == "YES"
    assert not template.has("SIZE") and not template.has("DESCRIPTION")


async def test_create_an_empty_data_disk(signed_in: Browser, daemon: Daemon) -> None:
    await create(signed_in, "images", name="data", type="DATABLOCK", datastore="100", size="512")
    template = parse(str(daemon.called("one.image.allocate")[0][0]))
    assert template.get("SIZE") == "512" and template.get("PERSISTENT") == "NO"


async def test_create_a_template_with_disk_and_network(signed_in: Browser, daemon: Daemon) -> None:
    more = 'HOT_RESIZE = [ CPU = "YES" ]\nNOTE = "a \\"quoted\\" word"'
    await create(
        signed_in, "templates", name="small", cpu="0.5", vcpu="2", memory="256", image="9", network="0", more=more
    )
    template = parse(str(daemon.called("one.template.allocate")[0][0]))
    assert (template.get("NAME"), template.get("CPU"), template.get("MEMORY")) == ("small", "0.5", "256")
    disk, nic = template.vector("DISK"), template.vector("NIC")
    assert disk and disk.get("IMAGE_ID") == "9" and nic and nic.get("NETWORK_ID") == "0"
    assert template.get("NOTE") == 'a "quoted" word' and template.vector("HOT_RESIZE") is not None


async def test_create_a_network(signed_in: Browser, daemon: Daemon) -> None:
    await create(signed_in, "networks", name="lan", vn_mad="dummy", bridge="br0", ip="10.0.0.1", size="9", cluster="0")
    (text, cluster), *_ = daemon.called("one.vn.allocate")
    area = parse(str(text)).vector("AR")
    assert cluster == 0 and area and dict(area) == {"IP": "10.0.0.1", "SIZE": "9", "TYPE": "IP4"}


async def test_create_a_user_in_a_group(signed_in: Browser, daemon: Daemon) -> None:
    await create(signed_in, "users", name="eve", password=" spaces stay ", group="1")
    assert daemon.called("one.user.allocate") == [["eve", " spaces stay ", "core", [1]]]


@pytest.mark.parametrize(
    ("kind", "fields", "complaint"),
    [
        ("hosts", {"name": ""}, "Please fill this in"),
        ("hosts", {"name": "a;b"}, "Names may not contain"),
        ("hosts", {"name": "x" * 129}, "at most 128"),
        ("hosts", {"name": "x", "cluster": "4711"}, "choose one of the list"),
        ("images", {"name": "x", "type": "OS"}, "Name the file to copy"),
        ("images", {"name": "x", "type": "DATABLOCK"}, "An empty disk needs a size"),
        ("images", {"name": "x", "type": "DATABLOCK", "size": "1.5"}, "whole number"),
        ("templates", {"name": "x", "memory": "0"}, "too small"),
        ("templates", {"name": "x", "cpu": "nan"}, "whole number"),
        ("templates", {"name": "x", "cpu": "much"}, "not a number"),
        ("templates", {"name": "x", "more": "A = [ B"}, "not template syntax"),
        ("networks", {"name": "x", "ip": "10.0.0.256"}, "not an IPv4 address"),
        ("users", {"name": "a b", "password": "x"}, "may not contain spaces"),
    ],
)
async def test_a_wrong_form_comes_back_with_what_was_typed(
    signed_in: Browser, daemon: Daemon, kind: str, fields: dict[str, str], complaint: str
) -> None:
    page = await signed_in.submit(await signed_in.get(f"/{kind}/new"), "", **fields)
    assert page.status == 422 and complaint in page.words
    typed = {name: value for name, value in fields.items() if name not in ("password", "more", "cluster")}
    assert {name: page.form("").values[name] for name in typed} == typed
    assert not [method for method, _ in daemon.calls if method.endswith("allocate")]


async def test_a_password_is_never_sent_back(signed_in: Browser) -> None:
    page = await signed_in.submit(await signed_in.get("/users/new"), "", name="a b", password="s3cret-word")
    assert page.status == 422 and "s3cret-word" not in page.html


async def test_a_refused_form_says_why_and_keeps_its_values(signed_in: Browser, daemon: Daemon) -> None:
    daemon.refuse["one.host.allocate"] = (0x2000, "NAME is already taken by HOST 0.")
    page = await signed_in.submit(await signed_in.get("/hosts/new"), "", name="kvm1")
    assert page.status == 409 and "already taken by HOST 0" in page.words
    assert page.form("").values["name"] == "kvm1"


async def test_one_machine_of_a_template_opens_its_page(signed_in: Browser, daemon: Daemon) -> None:
    page = await signed_in.submit(await signed_in.get("/templates/5/instantiate"), "", name="web")
    assert daemon.called("one.template.instantiate") == [[5, "web", False, ""]]
    assert page.url == "/vms/7" and "Machine #7 was created" in page.words


async def test_several_machines_are_numbered(signed_in: Browser, daemon: Daemon) -> None:
    await signed_in.submit(await signed_in.get("/templates/5/instantiate"), "", name="web", count="3", hold="yes")
    assert daemon.called("one.template.instantiate") == [[5, f"web-{n}", True, ""] for n in range(3)]


@pytest.mark.parametrize("count", ["0", "51", "1e3", "-1"])
async def test_nobody_makes_a_thousand_machines_by_a_slip(signed_in: Browser, daemon: Daemon, count: str) -> None:
    page = await signed_in.submit(await signed_in.get("/templates/5/instantiate"), "", count=count)
    assert page.status == 422 and not daemon.called("one.template.instantiate")
