from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from string import Formatter

import pytest

from deploy.lab.compare.analysis import NEVER, UNKNOWN, summarize
from deploy.lab.compare.charts import nice_top, spans, timeline
from deploy.lab.compare.faults import FAULTS, Condition
from deploy.lab.compare.findings import by_fault
from deploy.lab.compare.history import Eviction, History, Outcome
from deploy.lab.compare.page import page
from deploy.lab.compare.plan import ARRANGEMENTS, Plan, numbers, option
from deploy.lab.compare.record import Record, Setting, read
from deploy.lab.compare.tables import markdown, show
from deploy.lab.compare.texts import TEXTS, Language, Words
from deploy.lab.errors import LabError
from tests.deploy.compare.histories import broken_from_2_to_6, history, request, tried

VOID = {"meta", "br", "link"}


class Balance(HTMLParser):
    """Checks that every element is closed where it should be, and collects texts and links."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.outside += [value for name, value in attrs if name in ("src", "href") and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def experiment() -> list[History]:
    return [
        history(
            request(1.0, "ui1"), request(3.0, "", Outcome.ERROR), request(4.0, "ui2", Outcome.STALLED, latency_s=1.5),
            evictions=(Eviction(3.0, "ui1", True),), changes=broken_from_2_to_6(), arrangement=arrangement, fault=fault,
            attempts=tried(2.5, 3.5), died=arrangement == "both",
        )
        for fault in FAULTS for arrangement in ARRANGEMENTS
    ]  # fmt: skip


PLAN = Plan(arrangements=ARRANGEMENTS, faults=tuple(FAULTS), repetitions=1, lead_s=2, fault_s=4, after_s=4)
SETTING = Setting(PLAN, absent=("nginx",), impossible=("drop",), machine="2 CPUs", programs="nginx 1.22.1")


@pytest.mark.parametrize("language", ["en", "pt"])
def test_the_page_is_whole_and_needs_nothing_from_outside(language: Language) -> None:
    words = Words(language)
    text = page(SETTING, experiment(), words)
    parser = Balance()
    parser.feed(text)

    assert parser.open == [] and parser.outside == []
    assert "http" not in text and "@import" not in text and "url(#stripes)" in text
    assert all(words.fault(fault) in parser.text for fault in FAULTS)
    assert words["title"] in parser.text and words["no_drop"] in parser.text and "2 CPUs" in parser.text
    assert all(option(name) in parser.text for name in (numbers(PLAN) | numbers(PLAN.checks)))


def test_the_portuguese_page_has_no_english_sentence() -> None:
    portuguese, english = page(SETTING, experiment(), Words("pt")), Words("en")
    fixed = {key: text for key, text in TEXTS.items() if text[0] != text[1] and len(text[0].split()) > 2}

    for key in fixed:
        for piece in (literal for literal, *_ in Formatter().parse(english[key])):
            assert len(piece.split()) < 3 or piece not in portuguese, key


def test_the_page_says_loudly_what_is_not_to_be_trusted() -> None:
    words = Words("en")
    trusted = [each for each in experiment() if each.run.arrangement != "both"]

    assert "9 of 45 figures are not to be trusted" in page(SETTING, experiment(), words)
    assert "<sup>†</sup>" in page(SETTING, experiment(), words)
    assert "not to be trusted, and marked" not in page(SETTING, trusted, words)
    assert "Interrupted: 36 of 45 runs" in page(SETTING, trusted, words)


def test_one_repetition_has_no_spread_and_is_called_a_hint() -> None:
    text = page(SETTING, experiment(), Words("en"))

    assert "take every difference for a hint" in text and "there is no spread to show" in text
    assert "range over repetitions" not in text and 'class="range"' not in text


def test_several_repetitions_show_their_range() -> None:
    more = [history(*[request(3.0, outcome=Outcome.ERROR)] * count, repetition=count) for count in (1, 2, 3)]
    text = page(Setting(PLAN), more, Words("en"))

    assert "<small>1–3</small>" in text and 'class="range"' in text and "hint" not in text


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("detect_s", 0.456, "0,46 s"),
        ("told_s", NEVER, "nunca"),
        ("detect_s", UNKNOWN, "–"),
        ("p99_s", 0.0415, "42 ms"),
        ("shared_out", 0.555, "56 %"),
        ("probes_per_s", 5.94, "5,9"),
        ("errors", 12.0, "12"),
    ],
)
def test_figures_are_shown_with_their_unit(name: str, value: float, shown: str) -> None:
    assert show(name, value, Words("pt")) == shown


def test_the_tables_are_there_as_markdown() -> None:
    text = markdown(by_fault(summarize(experiment(), PLAN)), Words("en"))

    assert "| killed | 1 + 1 | 1 + 1 | 1 + 1 † | 1 + 1 | 1 + 1 |" in text
    assert "| Fault | Passive | Active | Both | nginx | HAProxy |" in text
    assert len({line.count("|") for line in text.splitlines() if line.startswith("| ")}) == 2


def test_a_record_gives_back_what_was_put_in_even_if_its_last_line_was_cut_off(tmp_path: Path) -> None:
    record = Record(tmp_path, SETTING)
    for one in experiment():
        record.add(one)
    file = tmp_path / "experiment.jsonl"
    file.write_bytes(file.read_bytes()[:-10])
    setting, seen = read(tmp_path)

    assert setting == SETTING and list(seen) == experiment()[:-1]


@pytest.mark.parametrize("content", [None, "", "{}\n", "no JSON\n"])
def test_what_is_no_record_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "experiment.jsonl").write_text(content)
    with pytest.raises(LabError, match=r"experiment\.jsonl"):
        read(tmp_path)


def test_both_languages_fill_in_the_same_values() -> None:
    for key, texts in TEXTS.items():
        english, portuguese = ({name for _, name, _, _ in Formatter().parse(text) if name} for text in texts)
        assert english == portuguese, key


def test_portuguese_writes_a_decimal_comma() -> None:
    assert (Words("pt").number(1.5, 1), Words("en").number(1.5, 1)) == ("1,5", "1.5")


def test_a_timeline_marks_every_request_and_shades_the_fault() -> None:
    one = history(
        request(1.0), request(3.0, "", Outcome.ERROR), changes=broken_from_2_to_6(Condition.PAUSED),
        evictions=(Eviction(3.0, "ui1", True),), attempts=(*tried(1.5, 2.5, 3.5), *tried(3.6, probe=True)),
    )  # fmt: skip
    drawing = timeline(one, Words("en"))

    assert drawing.count('class="ok"') == 1 and drawing.count('class="error"') == 1
    assert drawing.count('class="broken"') == 1 and drawing.count('class="out"') == 1
    assert drawing.count('class="try"') == 2


def test_a_server_that_stays_out_is_out_until_the_end() -> None:
    outs = (Eviction(1.0, "ui1", True), Eviction(2.0, "ui1", False), Eviction(4.0, "ui2", True))

    assert spans(history(evictions=outs)) == [("ui1", 1.0, 2.0), ("ui2", 4.0, 10.0)]


@pytest.mark.parametrize(("value", "top"), [(0, 4), (3, 4), (7, 8), (17, 20), (81, 100), (123, 200), (900, 1000)])
def test_a_scale_ends_with_a_round_number(value: float, top: float) -> None:
    assert nice_top(value) == top
