"""The documents that are made from the code say what the code says."""

from __future__ import annotations

from .__main__ import stale


def test_generated_documents_are_up_to_date() -> None:
    assert stale() == [], "run `python -m tests.docs` and commit docs/"
