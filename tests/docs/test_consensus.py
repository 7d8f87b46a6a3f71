"""docs/consensus.md names code and tests that exist."""

from __future__ import annotations

import re

import pytest

from tests.support.oned import ROOT

ROW = re.compile(
    r"^\| (?P<promise>.+?) \| `(?P<code>[\w/]+\.py)` \| `(?P<file>[\w/]+\.py)::(?P<test>\w+)` \|$", re.MULTILINE
)
TEXT = (ROOT / "docs" / "consensus.md").read_text()
ROWS = [found.groupdict() for found in ROW.finditer(TEXT)]


def test_every_line_of_the_table_is_read() -> None:
    assert len(ROWS) == len([line for line in TEXT.splitlines() if line.startswith("| ")]) - 1


@pytest.mark.parametrize("row", ROWS, ids=[row["test"] for row in ROWS])
def test_code_and_test_are_there(row: dict[str, str]) -> None:
    assert (ROOT / "services" / "oned_lite" / row["code"]).is_file()
    tests = (ROOT / "tests" / row["file"]).read_text()
    assert re.search(rf"^(async )?def {row['test']}\(", tests, re.MULTILINE)
