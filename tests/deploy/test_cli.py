"""The command line where there is nothing to run: help, and mistakes, each answered with one line and exit status 1."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.lab import definition as definitions
from deploy.lab.addresses import on_network
from deploy.lab.definition import Definition
from deploy.lab.folders import LabFolder
from tests.deploy.onelite import PROGRAM, attempt, complaint, onelite


def nothing_runs(root: Path) -> bool:
    return not list((root / "run").glob("*.json"))


def test_help_teaches_with_examples() -> None:
    text = onelite("--help")
    assert "examples:" in text and "onelite kill oned1" in text


@pytest.mark.parametrize(
    "command", ["up", "down", "status", "zone", "logs", "kill", "pause", "resume", "start", "stop"]
)
def test_every_command_has_help_of_its_own_and_takes_a_folder(command: str) -> None:
    assert "--dir DIR" in onelite(command, "--help")


@pytest.mark.parametrize("words", [["status"], ["zone"], ["down"], ["kill", "oned1"], ["logs", "oned1"]])
def test_where_no_lab_lives_it_says_how_to_make_one(tmp_path: Path, words: list[str]) -> None:
    assert f"no lab lives in {tmp_path}; make one with: onelite up --dir" in complaint(*words, folder=tmp_path)


def test_a_taken_port_is_named_with_the_one_who_has_it(tmp_path: Path, network: str) -> None:
    with socket.socket() as taken:
        taken.bind(on_network(network, 3).frontends[1].oned)
        taken.listen()
        line = complaint("up", "--detach", "--network", network, folder=tmp_path / "lab")
    assert f"port 2633 on {network}.22, wanted for oned2, is taken by" in line and f"(pid {os.getpid()})" in line
    assert nothing_runs(tmp_path / "lab")


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path, network: str) -> None:
    (tmp_path / "file").write_text("not a folder")
    line = complaint("up", "--detach", "--network", network, folder=tmp_path / "file" / "lab")
    assert str(tmp_path / "file") in line and "choose a folder you may write to with --dir" in line


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_of_somebody_else_is_named(tmp_path: Path, network: str) -> None:
    tmp_path.chmod(0o500)
    line = complaint("up", "--detach", "--network", network, folder=tmp_path / "lab")
    assert "Permission denied; choose a folder you may write to with --dir" in line


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--cache", "memcached"], "memcached is not installed; on Debian: apt-get install memcached"),
        (["--db", "mariadb"], "mariadb-install-db is not installed; on Debian: apt-get install mariadb-server"),
    ],
)
def test_a_missing_program_is_named_with_its_package(
    tmp_path: Path, network: str, options: list[str], line: str
) -> None:
    words = ["up", "--detach", "--network", network, *options]
    assert line in complaint(*words, folder=tmp_path / "lab", PATH="/nonexistent")
    assert nothing_runs(tmp_path / "lab")


def test_a_wish_that_contradicts_the_data_is_refused(tmp_path: Path, network: str) -> None:
    definitions.write(tmp_path, Definition(network=network))
    line = complaint("up", "--detach", "--frontends", "5", folder=tmp_path)
    assert "was made with --frontends 3" in line


def test_an_unknown_name_is_told_with_the_known_ones(tmp_path: Path, network: str) -> None:
    definitions.write(tmp_path, Definition(network=network))
    assert "there is no 'oned4' in this lab; there are balancer, cache" in complaint("kill", "oned4", folder=tmp_path)


def test_killing_what_does_not_run_fails(tmp_path: Path, network: str) -> None:
    definitions.write(tmp_path, Definition(network=network))
    result = attempt("kill", "frontend1", folder=tmp_path)
    assert result.returncode == 1 and "oned1 does not run" in result.stdout


def test_an_unknown_option_is_refused_with_the_usage(tmp_path: Path) -> None:
    result = attempt("up", "--nodes", "3", folder=tmp_path)
    assert result.returncode == 2 and "usage: onelite" in result.stderr


def test_logs_come_from_the_end_and_name_their_process_where_there_are_several(tmp_path: Path, network: str) -> None:
    definitions.write(tmp_path, Definition(network=network))
    folder = LabFolder(tmp_path)
    folder.create()
    folder.log("oned1").write_text("".join(f"line {number}\n" for number in range(100_000)))
    folder.log("sunstone1").write_text("hello\n")
    assert onelite("logs", "oned1", "-n", "2", folder=tmp_path) == "line 99998\nline 99999\n"
    assert onelite("logs", "frontend1", "-n", "1", folder=tmp_path) == "oned1: line 99999\nsunstone1: hello\n"


def test_followed_logs_go_on_with_what_is_added(tmp_path: Path, network: str) -> None:
    definitions.write(tmp_path, Definition(network=network))
    folder = LabFolder(tmp_path)
    folder.create()
    folder.log("oned1").write_text("before\n")
    argv = [sys.executable, str(PROGRAM), "logs", "oned1", "-f", "--dir", str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout and following.stdout.readline() == "before\n"
        with folder.log("oned1").open("a") as log:
            for text in ("half ", "a line\n", "another\n"):
                log.write(text)
                log.flush()
        assert [following.stdout.readline() for _ in range(2)] == ["half a line\n", "another\n"]
        following.send_signal(signal.SIGINT)
    assert following.returncode == 130
