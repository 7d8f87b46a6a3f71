"""``python -m services.balancer.mypyc_build``: the hot modules of the balancer, compiled by mypyc (see acceleration.py)."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from services.balancer.acceleration import BUILDS, HERE, MODULES, SWITCH, digest, fitting

_LOCK = BUILDS / "lock"


def build() -> Path:
    """Compile the sources as they are now, unless that is done; raises OSError or RuntimeError saying what is missing."""
    there = fitting()
    if there is not None:
        return there
    _check_tools()
    BUILDS.mkdir(parents=True, exist_ok=True)
    with _LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another build clears away what it finds
        return fitting() or _build(BUILDS / digest())


def _build(folder: Path) -> Path:
    with tempfile.TemporaryDirectory(prefix="building-", dir=BUILDS) as name:
        result = Path(name) / "result"
        work = subprocess.run(
            [sys.executable, "-m", "services.balancer.mypyc_build", "--into", str(result)],
            cwd=HERE.parents[1], env=os.environ | {SWITCH: "1"}, text=True, capture_output=True, check=False,
        )  # fmt: skip
        if work.returncode:
            raise RuntimeError("\n".join((work.stdout + work.stderr).splitlines()[-20:]))
        if BUILDS / digest() != folder:
            raise RuntimeError("the sources were edited meanwhile")
        for old in BUILDS.iterdir():
            if old not in (Path(name), _LOCK):
                shutil.rmtree(old)
        result.rename(folder)
    return folder


def _check_tools() -> None:
    """Complain of what can be known to be missing before the work begins."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        raise RuntimeError(f"there is no C compiler ({compiler})")
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        raise RuntimeError("the headers of Python are not installed")
    if find_spec("mypyc") is None:
        raise RuntimeError("mypy is not installed")


def _compile(result: Path) -> None:
    """Run mypyc and the C compiler; the working directory is that of the package ``services``."""
    from mypyc.build import mypycify  # not installed with the balancer
    from setuptools import Distribution

    sources = [str((HERE / f"{module}.py").relative_to(Path.cwd())) for module in MODULES]
    scratch = result.with_name("scratch")
    options = ["--config-file=", "--strict", "--follow-imports=silent", "--ignore-missing-imports"]
    extensions = mypycify(
        [*options, f"--cache-dir={scratch}", *sources], opt_level="2", debug_level="0", target_dir=str(scratch)
    )
    command: Any = Distribution({"ext_modules": extensions}).get_command_obj("build_ext")
    command.build_lib, command.build_temp = str(result), str(scratch)
    command.ensure_finalized()
    command.run()


def main() -> None:
    if sys.argv[1:2] == ["--into"]:
        _compile(Path(sys.argv[2]))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what is half done is cleared away
    try:
        folder = build()
    except (OSError, RuntimeError) as error:
        sys.exit(f"the balancer stays interpreted, which works and is slower: {error}")
    print(f"the balancer's hot path is compiled: {folder}")


if __name__ == "__main__":
    main()
