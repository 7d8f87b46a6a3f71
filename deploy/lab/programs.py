"""Programs a lab may need from the system, and the Debian packages they come in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.lab.errors import LabError

DEBIAN_PACKAGES = {
    "mariadbd": "mariadb-server",
    "mariadb-install-db": "mariadb-server",
    "memcached": "memcached",
    "env": "coreutils",
    "fsfreeze": "util-linux",
    "ip": "iproute2",
    "mkfs.ext4": "e2fsprogs",
    "mount": "mount",
    "nft": "nftables",
    "nsenter": "util-linux",
    "umount": "mount",
}


def find(program: str) -> str:
    """The program's path. Servers live in folders that a plain user's PATH leaves out."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin:/sbin")
    if found is None:
        package = DEBIAN_PACKAGES[program]
        raise LabError(f"{program} is not installed; on Debian: apt-get install {package}")
    return found


def run(program: str, *arguments: str, words: str = "") -> None:
    """Runs a program to its end, with `words` on its standard input. LabError with the first line it complains in."""
    done = subprocess.run([find(program), *arguments], input=words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        complaint = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[0]
        raise LabError(complaint if complaint.startswith(program) else f"{program}: {complaint}")


def ours(script: str) -> tuple[str, ...]:
    """How to run one of our own console scripts: with this Python, from beside it."""
    path = Path(sys.executable).parent / script
    if not path.is_file():
        raise LabError(
            f"{path} is missing; install the services with deploy/up, or: {sys.executable} -m pip install -e ."
        )
    return sys.executable, str(path)
