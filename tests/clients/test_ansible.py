"""Ansible with the unmodified OpenNebula modules of community.general, against one daemon with its scheduler.

Of the `ansible` package (over 600 MB unpacked) only that collection is taken: the wheel is downloaded where the machine
reaches a package index, and the test says that it did not run where it does not.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.support.oned import Oned, solo, until

pytestmark = [pytest.mark.xdist_group("clients"), pytest.mark.timeout(420)]

PACKAGE = "ansible==12.3.0"
COLLECTION = "ansible_collections/community/general/"
PLAYBOOK = Path(__file__).with_name("ansible_playbook.yaml")


@pytest.fixture(scope="module")
def collections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ansible")
    download = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(folder), PACKAGE]
    result = subprocess.run(download, capture_output=True, text=True, timeout=240)
    if result.returncode:
        pytest.fail(f"community.general cannot be had: {result.stderr.strip().splitlines()[-1]}")
    wheel = next(folder.glob("*.whl"))
    with zipfile.ZipFile(wheel) as package:
        package.extractall(folder, [name for name in package.namelist() if name.startswith(COLLECTION)])
    wheel.unlink()
    return folder


def test_a_playbook_makes_uses_and_removes_everything(collections: Path, tmp_path: Path) -> None:
    oned = solo(tmp_path).start()
    try:
        oned.ready()
        result = play(collections, tmp_path, oned.port, furnish(oned))
        assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
        assert "failed=0" in result.stdout
    finally:
        oned.kill()


def furnish(oned: Oned) -> int:
    """Storage, and objects that take the ids 0, which the modules confuse with no id. The id of the image datastore."""
    oned.call("one.datastore.allocate", "NAME = sys\nTYPE = SYSTEM_DS\nTM_MAD = dummy", 0)
    oned.call("one.datastore.enable", 0, False)  # the shipped system datastore copies by ssh
    images: int = oned.call(
        "one.datastore.allocate", "NAME = imgs\nTYPE = IMAGE_DS\nDS_MAD = dummy\nTM_MAD = dummy", 0
    )[1]
    until(lambda: "<FREE_MB>0<" not in oned.call("one.datastore.info", images)[1])
    for method, *arguments in (
        ("one.image.allocate", "NAME = zero\nTYPE = DATABLOCK\nSIZE = 1", images),
        ("one.vn.allocate", "NAME = zero\nVN_MAD = bridge\nBRIDGE = br9", 0),
        ("one.template.allocate", "NAME = zero\nCPU = 1\nMEMORY = 1"),
        ("one.vm.allocate", "NAME = zero\nCPU = 1\nMEMORY = 1", True),
    ):
        assert oned.call(method, *arguments)[:2] == [True, 0]
    return images


def play(collections: Path, folder: Path, port: int, datastore: int) -> subprocess.CompletedProcess[str]:
    settings = {
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_HOME": str(folder / "ansible"),
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        "ANSIBLE_DEPRECATION_WARNINGS": "False",
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "LC_ALL": "C.UTF-8",
        "ONE_URL": f"http://127.0.0.1:{port}/RPC2",
        "ONE_DATASTORE": str(datastore),
    }
    program = Path(sysconfig.get_path("scripts")) / "ansible-playbook"
    return subprocess.run(
        [program, "-i", "localhost,", PLAYBOOK],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=360,
    )
