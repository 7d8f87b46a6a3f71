"""The command as a user runs it, on a small scale."""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.lab.compare.command import add_options, plan_of
from deploy.lab.compare.packets import NAMESPACE
from deploy.lab.compare.plan import BOUNDS, option
from deploy.lab.errors import LabError
from tests.deploy.compare.plain_user import WITHOUT_NAMESPACES, plain_user
from tests.deploy.onelite import PROGRAM, attempt, complaint, onelite

PATH = "/usr/sbin:/sbin"
"""Has nginx and HAProxy, but no Chromium, which takes longer than all the rest."""

CAN_DROP = "import sys; from deploy.lab.compare.packets import can_drop; sys.exit(not can_drop())"
SHORT = ("--fault-after", "0.5", "--fault-lasts", "1.5", "--then", "0.8", "--rate", "80", "--late", "2", "--again", "0")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return parser.parse_args(words)


def path_with(folder: Path, *programs: str) -> str:
    """A search path that has only these and the system's servers."""
    here = folder / "bin"
    here.mkdir()
    for name in programs:
        (here / name).symlink_to(shutil.which(name) or name)
    return f"{here}:{PATH}"


def test_fast_errors_reach_users_of_passive_checks_and_active_ones_end_them(tmp_path: Path) -> None:
    words = "compare", "--quick", "--arrangements", "passive,active", "--faults", "errors", "--interval", "0.2"
    said = onelite(*words, "--fails", "1", *SHORT, "--out", str(tmp_path))
    summary = {(row["arrangement"], row["figure"]): row["median"] for row in rows(tmp_path / "summary.csv")}

    assert "2/2" in said and "report.html" in said
    assert summary["passive", "detect_s"] == summary["passive", "told_s"] == "never"
    assert 0 <= float(summary["active", "detect_s"]) < 1.5
    assert 0 < float(summary["active", "told_s"]) < 1.5
    assert float(summary["active", "errors"]) < float(summary["passive", "errors"])
    assert float(summary["passive", "probes_per_s"]) == 0 < float(summary["active", "probes_per_s"])
    assert float(summary["active", "balancer_cpu_s"]) > 0 < float(summary["active", "servers_cpu_s"])
    assert len(rows(tmp_path / "requests.csv")) > 100
    events = {row["event"] for row in rows(tmp_path / "events.csv")}
    assert events >= {"errors", "well", "taken out", "probed", "tried for a user"}
    assert "<svg" in (tmp_path / "report.html").read_text()
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")

    # What is there is not lost by accident, and its report can be made again in another language.
    assert "holds the results of an earlier run" in complaint(*words, *SHORT, "--out", str(tmp_path))
    words = "--language", "pt", "--markdown"
    again = onelite("compare", "--from", str(tmp_path), "--out", str(tmp_path / "pt"), *words, PATH=PATH)
    assert "Usuários prejudicados" in (tmp_path / "pt" / "report.html").read_text()
    assert "| erros 500 rápidos |" in again and "no PNG: that takes Chromium" in again
    assert (tmp_path / "pt" / "requests.csv").read_text() == (tmp_path / "requests.csv").read_text()


def test_every_balancer_tells_in_its_log_that_a_server_is_out_and_stops_asking_it(tmp_path: Path) -> None:
    onelite(
        "compare", "--quick", "--arrangements", "passive,nginx,haproxy", "--faults", "drop", "--interval", "0.2",
        "--fails", "1", "--max-fails", "1", "--probe-timeout", "0.3", "--connect-timeout", "0.3", "--read-timeout", "0.3",
        *SHORT, "--out", str(tmp_path), PATH=path_with(tmp_path, "unshare"),
    )  # fmt: skip
    summary = {(row["arrangement"], row["figure"]): row["median"] for row in rows(tmp_path / "summary.csv")}

    for arrangement in ("passive", "nginx", "haproxy"):
        assert 0 <= float(summary[arrangement, "told_s"]) < 1.5, arrangement
        assert 0 <= float(summary[arrangement, "detect_s"]) < 1.5, arrangement


DROP = (
    "compare", "--quick", "--arrangements", "passive", "--interval", "0.2", "--fails", "1", "--max-fails", "1",
    "--probe-timeout", "0.3", "--connect-timeout", "0.3", "--read-timeout", "0.3", *SHORT, "--out", "out",
)  # fmt: skip
BLIND = "packets cannot be seen here"


def test_a_plain_user_sees_and_drops_packets_in_a_network_of_its_own() -> None:
    with plain_user() as user:
        assert not user.may(sys.executable, "-c", "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)")
        allowed = user.may("unshare", *NAMESPACE, "true")
        said = user.onelite(*DROP, "--faults", "drop" if allowed else "kill")
        summary = {(row["fault"], row["figure"]): row["median"] for row in rows(user.folder / "out" / "summary.csv")}

    assert allowed is (BLIND not in said), "where the kernel gives no namespaces, the command says what is missing"
    if allowed:
        assert 0 <= float(summary["drop", "detect_s"]) < 1.5
        assert 0 <= float(summary["drop", "told_s"]) < 1.5


def test_a_plain_user_without_namespaces_is_told_what_cannot_be_seen_and_done() -> None:
    with plain_user() as user:
        may_drop = user.may(*WITHOUT_NAMESPACES, sys.executable, "-c", CAN_DROP)
        said = user.onelite(*DROP, "--faults", "kill,drop", within=WITHOUT_NAMESPACES)
        found = rows(user.folder / "out" / "summary.csv")

    assert BLIND in said and ("lets nobody but root drop packets" in said) is not may_drop
    assert {row["fault"] for row in found} == ({"kill", "drop"} if may_drop else {"kill"})
    assert {row["median"] for row in found if row["figure"] == "detect_s"} == {""}


def test_an_interrupted_experiment_reports_what_was_done(tmp_path: Path) -> None:
    words = "compare", "--quick", "--arrangements", "passive", "--faults", "kill,errors", *SHORT, "--out", str(tmp_path)
    with subprocess.Popen(
        [sys.executable, str(PROGRAM), *words], stdout=subprocess.PIPE, text=True, env={**os.environ, "PATH": PATH}
    ) as process:
        assert process.stdout is not None
        first = next(line for line in process.stdout if "1/2" in line)
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()

    assert process.returncode == 0 and "kill" in first and "interrupted; the report shows" in rest
    assert "1 of 2 runs were done" in (tmp_path / "report.html").read_text()


def test_who_interrupts_before_anything_was_done_may_start_again(tmp_path: Path) -> None:
    words = "compare", "--quick", "--arrangements", "passive", "--faults", "kill", "--out", str(tmp_path)
    with subprocess.Popen([sys.executable, str(PROGRAM), *words], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "1 run of" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.stdout.read()

    assert process.returncode == 130 and list(tmp_path.iterdir()) == []


def test_what_is_not_installed_is_left_out_and_named() -> None:
    plan, absent = plan_of(parse("--quick"), installed=lambda name: name != "nginx")

    assert plan.arrangements == ("passive", "active", "both", "haproxy") and absent == ("nginx",)
    with pytest.raises(LabError, match="none of nginx, haproxy is installed"):
        plan_of(parse("--arrangements", "nginx,haproxy"), installed=lambda name: False)


@pytest.mark.parametrize("name", BOUNDS)
def test_every_number_of_the_plan_has_an_option_with_bounds(name: str) -> None:
    low, high = (str(int(value) if value == int(value) else value) for value in (BOUNDS[name].low, BOUNDS[name].high))

    assert [getattr(parse(option(name), text), name) for text in (low, high)] == [float(low), float(high)]
    for wrong in (f"{float(low) - 1}", f"{float(high) + 1}", "much"):
        with pytest.raises(SystemExit):
            parse(f"{option(name)}={wrong}")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--faults", "earthquake"), "there is no 'earthquake'"),
        (("--arrangements", "passive,magic"), "there is no 'magic'"),
        (("--rate", "-3"), "--rate: expected a number from 1 to 2000, got -3"),
        (("--rate", "nan"), "got nan"),
        (("--repetitions", "2.5"), "--repetitions: expected a whole number from 1 to 100, got 2.5"),
        (("--posts", "20"), "--posts: expected a number from 0 to 1, got 20"),
    ],
)
def test_a_wrong_word_is_named(words: tuple[str, ...], complaint: str) -> None:
    result = attempt("compare", *words)

    assert result.returncode == 2 and complaint in result.stderr


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--patience", "1"), "--patience must be longer than --stall"),
        (("--stall", "0.05"), "--stall must be more than twice --service"),
        (("--rate", "2000", "--service", "0.2"), "more than 100 requests at once"),
    ],
)
def test_numbers_that_do_not_go_together_are_named(words: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(LabError, match=complaint):
        plan_of(parse("--quick", *words))


def test_a_folder_that_cannot_be_made_is_named_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert complaint("compare", "--quick", "--out", str(tmp_path / "file" / "x")).endswith("Not a directory")
