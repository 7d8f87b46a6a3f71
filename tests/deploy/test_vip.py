"""The hook that moves a virtual address, in a network namespace of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.support.oned import ROOT

SCRIPT = ROOT / "deploy" / "hooks" / "vip.sh"
ADDRESS = "192.0.2.7/32"


def _namespaces_work() -> bool:
    if shutil.which("ip") is None or shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode == 0


def in_namespace(state: Path, script: str) -> str:
    """What the addresses of `lo` and the complaints are after `script`, in which `vip` is the hook."""
    prelude = f'export VIP_STATE={state}\nvip() {{ {SCRIPT} "$@" || true; }}\nip link set lo up\n'
    command = ["unshare", "-n", "sh", "-c", prelude + script + "\nip -oneline address show dev lo\n"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout + done.stderr


needs_namespaces = pytest.mark.skipif(not _namespaces_work(), reason="no network namespaces for this user")


@needs_namespaces
def test_a_leader_takes_the_address_and_a_follower_gives_it_up(tmp_path: Path) -> None:
    assert ADDRESS in in_namespace(tmp_path / "a", f"vip leader lo {ADDRESS} 3; vip leader lo {ADDRESS} 3")
    assert ADDRESS not in in_namespace(tmp_path / "b", f"vip leader lo {ADDRESS} 3; vip follower lo {ADDRESS} 4")


@needs_namespaces
def test_orders_of_an_older_term_change_nothing(tmp_path: Path) -> None:
    shown = in_namespace(tmp_path, f"vip follower lo {ADDRESS} 9; vip leader lo {ADDRESS} 8")
    assert ADDRESS not in shown
    assert "term 8 is over, term 9 has begun" in shown


@needs_namespaces
@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a capability away")
def test_a_user_with_the_capability_needs_no_sudo() -> None:
    as_user = "setpriv --reuid=65534 --clear-groups --inh-caps=+net_admin --ambient-caps=+net_admin"
    with tempfile.TemporaryDirectory() as name:  # one that others may enter, unlike pytest's
        folder = Path(name)
        folder.chmod(0o777)
        shutil.copy(SCRIPT, folder / "vip.sh")
        shown = in_namespace(folder / "state", f"{as_user} {folder}/vip.sh leader lo {ADDRESS} 3")
    assert ADDRESS in shown, shown


@needs_namespaces
def test_the_address_follows_the_leader_of_a_real_zone(tmp_path: Path) -> None:
    """From a leader that hangs, which gives it up when it goes on, and from one that stops."""
    command = ["unshare", "-n", sys.executable, "-m", "tests.deploy.vip_zone", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "the address went from" in done.stdout


def test_wrong_use_is_explained() -> None:
    for arguments in (["leader"], ["king", "lo", ADDRESS, "3"], ["leader", "lo", ADDRESS, "three"]):
        done = subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, timeout=10, check=False)
        assert done.returncode == 1 and done.stderr.startswith("vip.sh: ")
