"""The real parts that tests run against. `deploy/test` installs all of them."""

from __future__ import annotations

import os
import shutil

import pytest

SYSTEM_FOLDERS = "/usr/sbin:/sbin"
CHROMIUM = ("chromium", "google-chrome")


def real_part(*names: str, package: str) -> str:
    """The path of the first of these programs that is there. A test that needs one fails without it, it is not skipped."""
    for name in names:
        path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{SYSTEM_FOLDERS}")
        if path is not None:
            return path
    pytest.fail(f"{' or '.join(names)} is not installed (Debian package {package}); deploy/test installs it")
