"""Images in a datastore of real files: made whole, refused where they may not come from, and gone with their row."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.oned_lite.local import LocalOned
from tests.support.programs import real_part

ADMIN = "oneadmin:opennebula"
MEGABYTE = 1024 * 1024
READY, LOCKED, ERROR = "1", "4", "5"


class Lab:
    """A datastore with driver fs that takes images from one folder only."""

    def __init__(self, folder: Path) -> None:
        self.oned = LocalOned(folder)
        self.inbox = folder / "inbox"
        self.inbox.mkdir()
        text = f'NAME=real\nDS_MAD=fs\nTM_MAD=shared\nRESTRICTED_DIRS="/"\nSAFE_DIRS="{self.inbox}"'
        self.datastore = self.ask("one.datastore.allocate", text, -1)
        self.files = folder / "datastores" / str(self.datastore)
        self.oned.settle()

    def ask(self, method: str, *arguments: object) -> int:
        answer = self.oned.call(method, ADMIN, *arguments)  # type: ignore[arg-type]
        assert answer[0] is True, answer
        return int(answer[1])

    def register(self, text: str) -> int:
        return self.ask("one.image.allocate", text, self.datastore)

    def field(self, image: int, tag: str) -> str:
        xml = self.oned.call("one.image.info", ADMIN, image)[1]
        found = re.search(rf"<{tag}>(?:<!\[CDATA\[)?(.*?)(?:]]>)?</{tag}>", xml)
        assert found, xml
        return found[1]

    def listing(self) -> list[str]:
        return sorted(path.name for path in self.files.iterdir())


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    yield Lab(tmp_path)


def test_an_image_is_locked_until_its_file_is_there_whole(lab: Lab) -> None:
    (lab.inbox / "os.img").write_bytes(os.urandom(MEGABYTE + 1))
    image = lab.register(f"NAME=a\nPATH={lab.inbox}/os.img")
    assert lab.field(image, "STATE") == LOCKED
    lab.oned.settle()
    assert lab.field(image, "STATE") == READY
    assert lab.field(image, "SIZE") == "2"
    assert Path(lab.field(image, "SOURCE")).read_bytes() == (lab.inbox / "os.img").read_bytes()


def test_stretches_of_zeros_take_no_space(lab: Lab) -> None:
    (lab.inbox / "sparse.img").write_bytes(b"\0" * (16 * MEGABYTE) + b"end")
    image = lab.register(f"NAME=a\nPATH={lab.inbox}/sparse.img")
    lab.oned.settle()
    source = Path(lab.field(image, "SOURCE"))
    assert source.read_bytes() == (lab.inbox / "sparse.img").read_bytes()
    assert source.stat().st_blocks * 512 < MEGABYTE


def test_links_do_not_lead_out_of_the_safe_directories(lab: Lab, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (lab.inbox / "link").symlink_to(secret)
    image = lab.register(f"NAME=a\nPATH={lab.inbox}/link")
    lab.oned.settle()
    assert lab.field(image, "STATE") == ERROR
    assert "safe directory" in lab.field(image, "ERROR")
    assert lab.listing() == []


def test_deleting_an_image_removes_its_file_and_nothing_else(lab: Lab) -> None:
    first, second = (lab.register(f"NAME={name}\nTYPE=DATABLOCK\nSIZE=5") for name in "ab")
    lab.oned.settle()
    kept = Path(lab.field(second, "SOURCE")).name
    lab.ask("one.image.delete", first)
    lab.oned.settle()
    assert lab.listing() == [kept]
    assert lab.oned.call("one.image.info", ADMIN, first)[0] is False


def test_deleting_leaves_files_that_the_datastore_did_not_make(lab: Lab) -> None:
    foreign = lab.inbox / "mine.img"
    foreign.write_text("mine")
    image = lab.register(f"NAME=a\nTYPE=OS\nSOURCE={foreign}\nFORMAT=raw\nSIZE=1")
    lab.ask("one.image.delete", image)
    lab.oned.settle()
    assert foreign.read_text() == "mine"


def test_a_copy_is_a_file_of_its_own(lab: Lab) -> None:
    (lab.inbox / "os.img").write_bytes(b"original")
    image = lab.register(f"NAME=a\nPATH={lab.inbox}/os.img")
    lab.oned.settle()
    copy = lab.ask("one.image.clone", image, "b")
    lab.oned.settle()
    Path(lab.field(image, "SOURCE")).write_bytes(b"changed")
    assert Path(lab.field(copy, "SOURCE")).read_bytes() == b"original"
    assert lab.field(image, "CLONING_OPS") == "0"


def test_the_datastore_says_how_full_the_file_system_is(lab: Lab) -> None:
    xml = lab.oned.call("one.datastore.info", ADMIN, lab.datastore)[1]
    total, free = (int(re.search(rf"<{tag}>(\d+)<", xml)[1]) for tag in ("TOTAL_MB", "FREE_MB"))  # type: ignore[index]
    space = os.statvfs(lab.files)
    assert total == space.f_blocks * space.f_frsize // MEGABYTE
    assert 0 < free <= total


def test_an_empty_disk_can_come_with_a_file_system(lab: Lab) -> None:
    real_part("mkfs.ext4", package="e2fsprogs")
    image = lab.register("NAME=a\nTYPE=DATABLOCK\nSIZE=8\nFS=ext4")
    lab.oned.settle()
    superblock = Path(lab.field(image, "SOURCE")).read_bytes()[1024:2048]
    assert superblock[0x38:0x3A] == b"\x53\xef"


def test_an_unknown_file_system_leaves_an_error_and_no_file(lab: Lab) -> None:
    image = lab.register("NAME=a\nTYPE=DATABLOCK\nSIZE=8\nFS=zfs")
    lab.oned.settle()
    assert "unknown file system zfs" in lab.field(image, "ERROR")
    assert lab.listing() == []
