"""The command as a user runs it, on a small scale."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.deploy.onelite import attempt, onelite

SHORT = ("--fault-after", "0.5", "--fault-lasts", "1.5", "--then", "0.8", "--rate", "40")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_fast_errors_reach_users_of_passive_checks_and_active_ones_end_them(tmp_path: Path) -> None:
    said = onelite(
        "compare", "--quick", "--arrangements", "passive,active", "--faults", "errors", "--interval", "0.2",
        "--fails", "1", *SHORT, "--out", str(tmp_path),
    )  # fmt: skip
    summary = {(row["arrangement"], row["figure"]): row["median"] for row in rows(tmp_path / "summary.csv")}

    assert "2/2" in said and "report.html" in said
    assert summary["passive", "detect_s"] == "never"
    assert 0 < float(summary["active", "detect_s"]) < 1.5
    assert 0 < float(summary["active", "errors"]) < float(summary["passive", "errors"])
    assert float(summary["passive", "probes_per_s"]) == 0 < float(summary["active", "probes_per_s"])
    assert len(rows(tmp_path / "requests.csv")) > 100
    assert {row["event"] for row in rows(tmp_path / "events.csv")} >= {"errors", "well", "taken out"}
    assert "<svg" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--faults", "earthquake"), "there is no 'earthquake'"),
        (("--arrangements", "passive,magic"), "there is no 'magic'"),
        (("--rate", "-3"), "above 0"),
    ],
)
def test_a_wrong_word_is_named(words: tuple[str, ...], complaint: str) -> None:
    result = attempt("compare", *words)

    assert result.returncode == 2 and complaint in result.stderr
