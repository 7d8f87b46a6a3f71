"""Apps of a marketplace that is a folder: an image goes out as a file, and comes back as another image."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from tests.oned_lite.local import LocalOned

ADMIN = "oneadmin:opennebula"
CONTENT = b"an operating system"


class Lab:
    """A datastore of files with one image, and a marketplace whose folder is seen under its own path."""

    def __init__(self, folder: Path) -> None:
        self.oned = LocalOned(folder)
        self.public = folder / "public"
        (folder / "os.img").write_bytes(CONTENT)
        text = f'NAME=real\nDS_MAD=fs\nTM_MAD=shared\nSAFE_DIRS="{folder}"\nRESTRICTED_DIRS="/"'
        self.datastore = self.ask("one.datastore.allocate", text, -1)
        self.oned.settle()
        self.image = self.ask("one.image.allocate", f"NAME=os\nPATH={folder}/os.img", self.datastore)
        self.oned.settle()
        text = f'NAME=m\nMARKET_MAD=http\nBASE_URL="file://{self.public}"\nPUBLIC_DIR="{self.public}"'
        self.market = self.ask("one.market.allocate", text)
        self.app = self.ask("one.marketapp.allocate", f"NAME=a\nTYPE=IMAGE\nORIGIN_ID={self.image}", self.market)

    def ask(self, method: str, *arguments: object) -> int:
        answer = self.oned.call(method, ADMIN, *arguments)  # type: ignore[arg-type]
        assert answer[0] is True, answer
        return int(answer[1])

    def field(self, method: str, oid: int, tag: str) -> str:
        xml = self.oned.call(method, ADMIN, oid)[1]
        found = re.search(rf"<{tag}>(?:<!\[CDATA\[)?(.*?)(?:]]>)?</{tag}>", xml)
        assert found, xml
        return found[1]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_an_image_is_in_use_until_its_app_is_there(lab: Lab) -> None:
    assert lab.field("one.image.info", lab.image, "APP_CLONES") == f"<ID>{lab.app}</ID>"
    assert lab.field("one.marketapp.info", lab.app, "STATE") == "2"
    lab.oned.settle()
    assert lab.field("one.image.info", lab.image, "STATE") == "1"
    assert lab.field("one.marketapp.info", lab.app, "STATE") == "1"
    digest = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    assert lab.field("one.marketapp.info", lab.app, "MD5") == digest
    assert (lab.public / digest).read_bytes() == CONTENT


def test_an_image_made_of_an_app_has_its_content(lab: Lab) -> None:
    lab.oned.settle()
    image = lab.ask("one.image.allocate", f"NAME=again\nFROM_APP={lab.app}", lab.datastore)
    lab.oned.settle()
    assert Path(lab.field("one.image.info", image, "SOURCE")).read_bytes() == CONTENT


def test_deleting_an_app_removes_its_file(lab: Lab) -> None:
    lab.oned.settle()
    lab.ask("one.marketapp.delete", lab.app)
    lab.oned.settle()
    assert list(lab.public.iterdir()) == []
    assert lab.oned.call("one.marketapp.info", ADMIN, lab.app)[0] is False


def test_a_marketplace_says_how_full_its_file_system_is(lab: Lab) -> None:
    lab.oned.settle()
    lab.oned.settle()
    assert int(lab.field("one.market.info", lab.market, "TOTAL_MB")) > 0
