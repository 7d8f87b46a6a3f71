"""Compiled modules run only where they are those of the sources that are there."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from services.balancer.acceleration import BUILDS, HERE, SWITCH, description, digest, fitting


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of what the balancer is made of, to be edited."""
    for name in ("balancer", "common"):
        shutil.copytree(HERE.parent / name, tmp_path / "services" / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(HERE.parent / "__init__.py", tmp_path / "services")
    return tmp_path


def run(clone: Path, module: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=clone, text=True, capture_output=True, check=False,
        env=os.environ | {"PYTHONPATH": str(clone)} | environment,
    )  # fmt: skip


def test_an_edited_source_is_never_shadowed_by_an_older_build(clone: Path) -> None:
    sources, builds = clone / "services" / "balancer", clone / "builds"
    assert digest(sources) == digest(HERE) and fitting(builds, sources) is None
    build = builds / digest(sources)
    build.mkdir(parents=True)
    assert fitting(builds, sources) == build
    with (sources / "wire" / "request.py").open("a") as file:
        file.write("# an edit\n")
    assert fitting(builds, sources) is None


def test_the_version_tells_which_code_runs(clone: Path) -> None:
    assert description() == ("compiled" if fitting() and not os.environ.get(SWITCH) else "interpreted")
    assert f"({description()})" in run(clone, "services.balancer.main", "--version").stdout
    (clone / "services" / "balancer" / "core" / "more.py").touch()
    assert "(interpreted)" in run(clone, "services.balancer.main", "--version").stdout


def test_a_build_that_is_ended_leaves_nothing_behind(clone: Path) -> None:
    (clone / "services" / "balancer" / "core" / "more.py").touch()
    with subprocess.Popen(
        [sys.executable, "-m", "services.balancer.mypyc_build"], cwd=clone, start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(clone)},
    ) as build:  # fmt: skip
        children, words = Path(f"/proc/{build.pid}/task/{build.pid}/children"), [""]
        while "--into" not in words:
            assert build.poll() is None
            words = [word for pid in children.read_text().split() for word in _command(pid)]
        folder = Path(words[-1]).parent
        assert folder.is_dir() and folder.parent == BUILDS
        os.killpg(build.pid, signal.SIGTERM)
        assert build.wait() == 143
    assert not folder.exists()


def test_builds_wait_for_each_other_and_look_again(clone: Path) -> None:
    (clone / "services" / "balancer" / "core" / "another.py").touch()
    made = BUILDS / digest(clone / "services" / "balancer")
    BUILDS.mkdir(parents=True, exist_ok=True)
    with (BUILDS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with subprocess.Popen(
            [sys.executable, "-m", "services.balancer.mypyc_build"], cwd=clone, text=True, stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(clone)},
        ) as build:  # fmt: skip
            while not re.search(rf"-> FLOCK +ADVISORY +WRITE {build.pid} ", Path("/proc/locks").read_text()):
                assert build.poll() is None
            made.mkdir()
            fcntl.flock(lock, fcntl.LOCK_UN)
            said, _ = build.communicate()
    made.rmdir()
    assert (build.returncode, said) == (0, f"the balancer's hot path is compiled: {made}\n")


def _command(pid: str) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().strip("\0").split("\0")


def test_without_a_compiler_the_balancer_stays_interpreted_and_says_why(clone: Path) -> None:
    (clone / "services" / "balancer" / "core" / "more.py").touch()
    result = run(clone, "services.balancer.mypyc_build", CC="/nowhere/cc")
    assert result.returncode == 1
    assert (
        result.stderr
        == "the balancer stays interpreted, which works and is slower: there is no C compiler (/nowhere/cc)\n"
    )
