"""Chaos: real daemons under faults, the links that can be cut, and judges that notice a lie."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from deploy.lab.chaos import history, verdict
from deploy.lab.chaos.history import Kind, Operation, Outcome
from deploy.lab.chaos.relay import Network
from deploy.lab.chaos.verdict import Template
from services.common.settings import Address

from .onelite import attempt, complaint

OID = 7


def operation(
    kind: Kind, start_us: int, end_us: int, *, value: str = "", name: str = "", oid: int = OID, outcome: Outcome = "ok"
) -> Operation:
    return Operation(
        client=0,
        server=0,
        kind=kind,
        oid=oid,
        name=name,
        value=value,
        start_us=start_us,
        end_us=end_us,
        outcome=outcome,
    )


@pytest.mark.xdist_group("chaos")
@pytest.mark.timeout(150)
def test_daemons_tell_clients_the_truth_while_faults_run(tmp_path: Path) -> None:
    report = tmp_path / "report"
    run = attempt("chaos", "--seconds", "15", "--seed", "11", "--report", str(report), timeout_s=140)
    assert run.returncode == 0, run.stdout + run.stderr
    summary = json.loads((report / "report.json").read_bytes())
    assert summary["good"] and len(summary["checks"]) == 5
    assert all(check["judged"] > 0 for check in summary["checks"])
    assert summary["outcomes"]["ok"] > 50 and summary["faults"]
    assert len(history.read(report / "history.jsonl")) == sum(summary["outcomes"].values())
    page = (report / "report.html").read_text()
    assert "<svg" in page and "leader, term" in page and "http://" not in page.replace("http://www.w3.org", "")


def test_faults_that_there_are_not_are_refused(tmp_path: Path) -> None:
    where = ("--report", str(tmp_path))
    assert "there is no 'flood'" in complaint("chaos", "--faults", "kill,flood", *where)
    assert "kill-db needs --db mariadb" in complaint("chaos", "--faults", "kill-db", *where)


def test_a_stale_read_is_noticed() -> None:
    operations = [
        operation("write", 0, 10, value="new"),
        operation("read", 20, 30, value="none"),
    ]
    assert not verdict.linearizable(operations).good
    assert verdict.linearizable(operations[:1]).good


def test_an_id_or_name_given_out_twice_is_noticed() -> None:
    twice = [operation("allocate", 0, 1, name="a", oid=1), operation("allocate", 2, 3, name="a", oid=1)]
    assert not verdict.ids_unique(twice).good
    assert not verdict.names_unique(twice, ()).good
    assert not verdict.names_unique((), [Template(1, "a", ""), Template(2, "a", "")]).good


def test_a_lost_object_and_a_lost_write_are_noticed() -> None:
    made = operation("allocate", 0, 1, name="a")
    first, then = operation("write", 2, 3, value="v1"), operation("write", 4, 5, value="v2")
    assert not verdict.nothing_lost([made], []).good
    assert not verdict.nothing_lost([made, first, then], [Template(OID, "a", "v1")]).good
    assert verdict.nothing_lost([made, first, then], [Template(OID, "a", "v2")]).good


def test_a_write_of_unknown_outcome_may_have_happened_or_not() -> None:
    made, sure = operation("allocate", 0, 1, name="a"), operation("write", 2, 3, value="v1")
    unsure = operation("write", 4, 5, value="v2", outcome="unknown")
    for value in ("v1", "v2"):
        assert verdict.nothing_lost([made, sure, unsure], [Template(OID, "a", value)]).good


def test_servers_that_differ_at_the_end_are_noticed() -> None:
    same = [Template(OID, "a", "v")]
    assert verdict.same_everywhere({0: same, 1: same}, {0: "5:ab", 1: "5:ab"}).good
    assert not verdict.same_everywhere({0: same, 1: same}, {0: "5:ab", 1: "5:cd"}).good
    assert not verdict.same_everywhere({0: same, 1: []}, {0: "5:ab", 1: "5:ab"}).good


async def test_a_cut_link_is_silent_and_loses_nothing_when_it_is_mended() -> None:
    received: asyncio.Queue[bytes] = asyncio.Queue()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            received.put_nowait(data)
        writer.close()

    network = Network()
    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server, asyncio.timeout(10):
        here = Address("127.0.0.1", server.sockets[0].getsockname()[1])
        links = await network.open([here, here])
        _, writer = await asyncio.open_connection(*links[0, 1])
        writer.write(b"before")
        assert await received.get() == b"before"
        network.cut(0, 1)
        assert not network.whole
        writer.write(b"while cut")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await received.get()
        network.mend()
        assert await received.get() == b"while cut"
        writer.close()
        await network.close()
