"""The two commands of the README, on systems that are not as they should be."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CLONE = Path(__file__).resolve().parents[2]
TOOLS = ("sh", "dirname", "basename", "id", "cmp", "cp", "tr", "cat", "mktemp", "tail", "rm")


class Machine:
    """A clone of the scripts alone, and a PATH with nothing on it but what is put there."""

    def __init__(self, root: Path) -> None:
        self.clone = root / "clone"
        self.programs = root / "programs"
        (self.clone / "deploy").mkdir(parents=True)
        self.programs.mkdir()
        for script in ("up", "test", "environment.sh"):
            shutil.copy(CLONE / "deploy" / script, self.clone / "deploy")
        shutil.copy(CLONE / "pyproject.toml", self.clone)
        for tool in TOOLS:
            path = shutil.which(tool)
            assert path
            (self.programs / tool).symlink_to(path)

    def has(self, program: str, text: str) -> None:
        path = self.programs / program
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def run(self, script: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.clone / "deploy" / script, *words],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            env={"PATH": str(self.programs), "HOME": str(self.clone)},
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_python_that_is_too_old_is_one_clear_line(machine: Machine) -> None:
    machine.has("python3", 'case "$1" in -V) echo "Python 3.9.2" ;; *) exit 1 ;; esac')
    result = machine.run("up")
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        "up: Python 3.11 or later is needed (found: Python 3.9.2); "
        "on Debian 12 or later: apt-get install python3 python3-venv"
    ]


def test_no_python_at_all_is_one_clear_line(machine: Machine) -> None:
    result = machine.run("up")
    assert result.returncode == 1 and "Python 3.11 or later is needed (found: none)" in result.stderr


def test_a_python_named_by_the_user_must_be_recent_too(machine: Machine) -> None:
    machine.has("python3", "exit 0")
    machine.has("oldpython", "exit 1")
    result = subprocess.run(
        [machine.clone / "deploy" / "up"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env={"PATH": str(machine.programs), "PYTHON": "oldpython"},
    )
    assert result.returncode == 1 and "PYTHON=oldpython is not Python 3.11 or later" in result.stderr


PYTHON_WITHOUT_VENV = """
case "$2" in
  *ensurepip*) exit 1 ;;
  *print*) echo python3.11-venv ;;
  *) exit 0 ;;
esac"""


def test_a_plain_user_without_venv_is_told_the_package(machine: Machine) -> None:
    machine.has("python3", PYTHON_WITHOUT_VENV)
    machine.has("id", "echo 1000")
    result = machine.run("up")
    assert result.returncode == 1
    assert (
        result.stderr
        == "up: python3 cannot make virtual environments yet; on Debian: apt-get install python3.11-venv\n"
    )


def test_a_plain_user_without_the_real_parts_is_told_the_packages(machine: Machine) -> None:
    machine.has("id", "echo 1000")
    machine.has("memcached", "exit 0")
    result = machine.run("test")
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1
    assert "apt-get install" in result.stderr and "memcached" not in result.stderr


def test_a_second_run_installs_nothing(machine: Machine) -> None:
    environment = machine.clone / ".venv" / "bin"
    environment.mkdir(parents=True)
    (environment / "python").write_text('#!/bin/sh\n[ "$1" = -c ] || { echo "unexpected: $*"; exit 1; }\n')
    (environment / "onelite").write_text('#!/bin/sh\necho "onelite $*"\n')
    for program in ("python", "onelite"):
        (environment / program).chmod(0o755)
    for stamp in ("installed", "installed[compiled]"):
        shutil.copy(machine.clone / "pyproject.toml", machine.clone / ".venv" / stamp)
    result = machine.run("up", "--frontends", "5")
    assert (result.returncode, result.stdout) == (0, "onelite up --frontends 5\n")
    assert "runs interpreted" in result.stderr and "gcc" in result.stderr and len(result.stderr.splitlines()) == 1
    result = machine.run("up", "--no-compile")
    assert (result.returncode, result.stdout, result.stderr) == (0, "onelite up --no-compile\n", "")
    machine.has("cc", "exit 0")
    result = machine.run("up", "--frontends", "5")
    assert (result.returncode, result.stdout, result.stderr) == (0, "onelite up --compile --frontends 5\n", "")


def test_the_scripts_are_executable_and_ci_calls_the_same_tests() -> None:
    for script in (CLONE / "deploy" / "up", CLONE / "deploy" / "test", CLONE / ".ci" / "run"):
        assert os.access(script, os.X_OK)
    assert "deploy/test" in (CLONE / ".ci" / "run").read_text()
