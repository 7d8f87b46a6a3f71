"""The unit files and their walk-through, as far as they can be checked without booting a machine."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from services.balancer.config import read_plan
from services.cache.settings import CacheSettings
from services.common.settings import load
from services.oned_lite.server.oned_conf import read_settings as read_oned
from services.sunstone_lite.sunstone_conf import read_settings as read_sunstone

CLONE = Path(__file__).parents[2]
FOLDER = CLONE / "deploy" / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
WORST_EXPOSURE = 25
"""Tenths of systemd's own measure, from 0 (shut in) to 100 (may do anything)."""


@pytest.fixture
def installed(tmp_path: Path) -> list[Path]:
    """The units with programs that exist, and the drop-in in its place."""
    for unit in UNITS:
        text = unit.read_text().replace("/opt/onelite/bin/", f"{Path(sys.executable).parent}/")
        (tmp_path / unit.name).write_text(text)
    drop_in = tmp_path / "oned-lite.service.d"
    drop_in.mkdir()
    (drop_in / "vip.conf").write_text((FOLDER / "oned-lite-vip.conf").read_text())
    return [tmp_path / unit.name for unit in UNITS]


def test_systemd_finds_nothing_to_complain_of(installed: list[Path]) -> None:
    done = subprocess.run(["systemd-analyze", "verify", *installed], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_units_are_shut_in(unit: Path) -> None:
    measure = ["systemd-analyze", "security", "--offline=true", f"--threshold={WORST_EXPOSURE}", str(unit)]
    done = subprocess.run(measure, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-500:]


def test_each_unit_runs_a_program_of_ours_again_whenever_it_ends() -> None:
    scripts = tomllib.loads((CLONE / "pyproject.toml").read_text())["project"]["scripts"]
    for unit in UNITS:
        text = unit.read_text()
        assert f"ExecStart=/opt/onelite/bin/{unit.stem} --config /etc/one/{unit.stem}.yaml\n" in text
        assert unit.stem in scripts
        assert "Restart=always\n" in text and "StartLimitIntervalSec=0\n" in text


def settings_in_the_readme(name: str) -> list[str]:
    text = (FOLDER / "README.md").read_text()
    return re.findall(rf"```yaml\n# /etc/one/{name}\n(.*?)```", text, re.DOTALL)


def test_the_settings_of_the_walk_are_good(tmp_path: Path) -> None:
    (tmp_path / "oned.conf").write_text('LISTEN_ADDRESS = "10.0.0.2"\nFEDERATION = [ SERVER_ID = 1 ]\n')
    for secret in ("one_auth", "db_password"):
        (tmp_path / secret).write_text("oneadmin:x")

    def written(name: str, number: int = 0) -> Path:
        path = tmp_path / name
        path.write_text(settings_in_the_readme(name)[number].replace("/etc/one/", f"{tmp_path}/"))
        return path

    by_yaml = read_oned(written("oned-lite.yaml")).settings
    by_oned_conf = read_oned(written("oned-lite.yaml", 1)).settings
    assert by_yaml.cluster is not None and by_oned_conf.cluster is not None
    assert by_yaml.cluster.servers == by_oned_conf.cluster.servers
    assert [str(one.peer_listen) for one in (by_yaml, by_oned_conf)] == ["10.0.0.1:2634", "10.0.0.2:2634"]
    assert len(read_sunstone(written("sunstone-lite.yaml")).settings.oned) == 3
    assert load(written("cache-lite.yaml"), CacheSettings).memory_mb == 256
    assert list(read_plan(written("balancer-lite.yaml")).listeners) == ["10.0.0.41:80"]
