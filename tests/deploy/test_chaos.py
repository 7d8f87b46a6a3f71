"""Chaos: real daemons under faults, the links that can be cut, and judges that notice a lie."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from deploy.lab import processes
from deploy.lab.chaos import disks, gaps, history, means, namespaces, verdict
from deploy.lab.chaos.faults import FAULTS
from deploy.lab.chaos.history import Kind, Operation, Outcome, Period, Sighting
from deploy.lab.chaos.relay import Relays
from deploy.lab.chaos.verdict import Template
from deploy.lab.processes import Condition, ProcessId
from services.common.settings import Address

from .onelite import PROGRAM, attempt, complaint

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


def possible_here() -> list[str]:
    """Faults of the shortened run: each of the means once."""
    return ["kill", "partition", "clock-jump", "disk-full", *(["disk-stall"] if not disks.why_not() else [])]


@pytest.mark.xdist_group("chaos")
@pytest.mark.timeout(240)
def test_daemons_tell_clients_the_truth_while_faults_run(tmp_path: Path) -> None:
    report, faults = tmp_path / "report", possible_here()
    wanted = ("--seconds", "5", "--seed", "11", "--faults", ",".join(faults))
    run = attempt("chaos", *wanted, "--report", str(report), timeout_s=230)
    assert run.returncode == 0, run.stdout + run.stderr
    summary = json.loads((report / "report.json").read_bytes())
    assert summary["good"] and len(summary["checks"]) == 7
    assert all(check["judged"] > 0 for check in summary["checks"])
    assert summary["outcomes"]["ok"] > 50 and set(summary["faults"]) == set(faults)
    assert summary["network"] == ("relays" if namespaces.why_not("test") else "namespaces")
    seconds = [second["outcomes"].get("ok", 0) for second in summary["calls_by_second"]]
    assert sum(seconds) == summary["outcomes"]["ok"]
    assert any(abs(span["skew_s"]) > 20 for span in summary["spans"]), "no clock was off"
    assert len(history.read(report / "history.jsonl")) == sum(summary["outcomes"].values())
    page = (report / "report.html").read_text()
    assert "<svg" in page and "leader, term" in page and "http://" not in page.replace("http://www.w3.org", "")
    assert all(f"<td>{period['fault']}</td>" in page for period in summary["periods"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount file systems")
async def test_a_full_disk_takes_not_a_byte_more_until_it_is_freed(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    disks.make(folder, disks.TRIAL_MB)
    try:
        servers = disks.FileSystems([folder])
        await servers.fill(0)
        with pytest.raises(OSError, match="No space left"):
            (folder / "one").write_bytes(b"x")
        await servers.free(0)
        (folder / "one").write_bytes(b"x")
    finally:
        disks.remove(folder)


@pytest.mark.xdist_group("chaos")
@pytest.mark.timeout(120)
def test_what_a_killed_run_leaves_the_next_one_removes(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    faults = "partition,disk-full" + ("" if disks.why_not() else ",disk-stall")
    command = [sys.executable, str(PROGRAM), "chaos", "--faults", faults, "--report", str(tmp_path / "report")]
    environment = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if " s  " in line:
                break
        run.kill()
    (record,) = temporary.glob("onelite-chaos-runs-*/*.json")
    left = json.loads(record.read_bytes())
    files = Path(left["folder"], "run").glob("oned*.json")
    daemons = [msgspec.json.decode(file.read_bytes(), type=ProcessId) for file in files]
    assert [processes.condition(daemon) for daemon in daemons] == [Condition.RUNNING] * 3
    assert len(left["namespaces"]) == (0 if namespaces.why_not("test") else 4)
    assert all(Path(mount).is_mount() for mount in left["mounts"])

    said = attempt("chaos", "--faults", "flood", TMPDIR=str(temporary)).stdout

    assert left["folder"] in said
    assert [processes.condition(daemon) for daemon in daemons] == [Condition.ENDED] * 3
    assert not any(Path("/run/netns", name).exists() for name in left["namespaces"])
    assert not any(Path(mount).is_mount() for mount in left["mounts"])
    assert not Path(left["folder"]).exists() and not record.exists()


def test_faults_that_there_are_not_are_refused(tmp_path: Path) -> None:
    where = ("--report", str(tmp_path))
    assert "there is no 'flood'" in complaint("chaos", "--faults", "kill,flood", *where)
    assert "kill-db needs --db mariadb" in complaint("chaos", "--faults", "kill-db", *where)


def test_every_fault_without_means_has_a_reason() -> None:
    root = "needs root"
    assert means.obstacle("disk-stall", "sqlite", "relays", root).endswith("(needs root)")
    assert means.obstacle("disk-full", "mariadb", "relays", root).endswith("(needs root)")
    assert not means.obstacle("disk-full", "sqlite", "relays", root)
    assert not means.obstacle("disk-stall", "mariadb", "namespaces", "")
    assert means.obstacle("slow-link", "sqlite", "namespaces", "") == "needs --network relays"
    assert not means.obstacle("slow-link", "sqlite", "relays", "")
    assert means.choose("sqlite", "auto", ["slow-link"]).network == "relays"
    all_there_is = means.choose("sqlite", "relays", None)
    assert set(all_there_is.faults) | set(all_there_is.left_out) == set(FAULTS)
    assert {"kill-db", "stall-db"} <= set(all_there_is.left_out)


def test_a_stale_read_is_noticed() -> None:
    operations = [
        operation("write", 0, 10, value="new"),
        operation("read", 20, 30, value="none"),
    ]
    assert verdict.linearizable(operations).verdict == "BAD"
    assert verdict.linearizable(operations[:1]).verdict == "good"


def test_an_id_or_name_given_out_twice_is_noticed() -> None:
    twice = [operation("allocate", 0, 1, name="a", oid=1), operation("allocate", 2, 3, name="a", oid=1)]
    assert verdict.ids_unique(twice).verdict == "BAD"
    assert verdict.names_unique(twice, ()).verdict == "BAD"
    assert verdict.names_unique((), [Template(1, "a", ""), Template(2, "a", "")]).verdict == "BAD"


def test_a_lost_object_and_a_lost_write_are_noticed() -> None:
    made = operation("allocate", 0, 1, name="a")
    first, then = operation("write", 2, 3, value="v1"), operation("write", 4, 5, value="v2")
    assert verdict.nothing_lost([made], []).verdict == "BAD"
    assert verdict.nothing_lost([made, first, then], [Template(OID, "a", "v1")]).verdict == "BAD"
    assert verdict.nothing_lost([made, first, then], [Template(OID, "a", "v2")]).verdict == "good"


def test_a_write_of_unknown_outcome_may_have_happened_or_not() -> None:
    made, sure = operation("allocate", 0, 1, name="a"), operation("write", 2, 3, value="v1")
    unsure = operation("write", 4, 5, value="v2", outcome="unknown")
    for value in ("v1", "v2"):
        assert verdict.nothing_lost([made, sure, unsure], [Template(OID, "a", value)]).verdict == "good"


def test_servers_that_differ_at_the_end_are_noticed() -> None:
    same = [Template(OID, "a", "v")]
    assert verdict.same_everywhere({0: same, 1: same}, {0: "5:ab", 1: "5:ab"}).verdict == "good"
    assert verdict.same_everywhere({0: same, 1: same}, {0: "5:ab", 1: "5:cd"}).verdict == "BAD"
    assert verdict.same_everywhere({0: same, 1: []}, {0: "5:ab", 1: "5:ab"}).verdict == "BAD"


def test_a_judge_that_gives_up_says_so() -> None:
    """Writes that may have come in any order, and a read of none of them: whoever wants to know has to try them all."""
    writes = [operation("write", 0, 10, value=f"v{number}") for number in range(12)]
    check = verdict.linearizable([*writes, operation("read", 20, 30, value="never written")], states_max=100)
    assert check.verdict == "unknown" and check.undecided and not check.problems
    assert verdict.linearizable([*writes, operation("read", 20, 30, value="v7")]).verdict == "good"


def sighting(at_s: float, skew_s: int) -> Sighting:
    return Sighting(at_us=int(at_s * 1e6), server=0, role="leader", term=1, skew_s=skew_s)


def test_a_time_that_no_clock_showed_is_noticed() -> None:
    made = [operation("allocate", 50_000_000, 50_100_000, name="a")]

    def verdict_of(made_s: int, *sightings: Sighting) -> str:
        return verdict.times_sane(made, [Template(OID, "a", "", made_s)], sightings, epoch_s=1000.0).verdict

    assert verdict_of(1050) == "good"
    assert verdict_of(4650) == "BAD"
    assert verdict_of(4650, sighting(49, 3600)) == verdict_of(4650, sighting(10, 3600)) == "good"
    assert verdict_of(4650, sighting(10, 3600), sighting(20, 0)) == "BAD"


def test_rows_that_differ_between_databases_are_named() -> None:
    one, other = {"template_pool": frozenset({(7, "a", "<XML/>")})}, {"template_pool": frozenset({(7, "a", "")})}
    assert verdict.same_databases({0: one, 1: one}).verdict == "good"
    (problem,) = verdict.same_databases({0: one, 1: other}).problems
    assert "oned2: template_pool" in problem and "rows 7" in problem
    assert verdict.same_databases({0: one, 1: {}}).verdict == "BAD"


def test_gaps_tell_which_faults_explain_them() -> None:
    writes = [operation("write", 0, at_s * 1_000_000) for at_s in (1, 2, 9, 10, 15)]
    kill = Period(fault="kill", target="oned1", start_us=3_000_000, end_us=5_000_000)
    first, second = gaps.gaps(writes, [kill])
    assert (first.seconds, first.faults) == (7.0, ["kill: oned1"])
    assert (second.seconds, second.faults) == (5.0, [])


async def test_a_cut_link_is_silent_and_loses_nothing_when_it_is_mended() -> None:
    received: asyncio.Queue[bytes] = asyncio.Queue()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            received.put_nowait(data)
        writer.close()

    network = Relays()
    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server, asyncio.timeout(10):
        here = Address("127.0.0.1", server.sockets[0].getsockname()[1])
        await network.open([here, here])
        _, writer = await asyncio.open_connection(*network.address(0, 1))
        writer.write(b"before")
        assert await received.get() == b"before"
        await network.cut([(0, 1)])
        assert not network.whole
        writer.write(b"while cut")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await received.get()
        await network.mend()
        assert await received.get() == b"while cut"
        writer.close()
        await network.close()
