from __future__ import annotations

from html.parser import HTMLParser
from string import Formatter

import pytest

from deploy.lab.compare.analysis import summarize
from deploy.lab.compare.charts import nice_top, spans, timeline
from deploy.lab.compare.faults import FAULTS, Condition
from deploy.lab.compare.history import Eviction, History, Outcome
from deploy.lab.compare.page import page
from deploy.lab.compare.plan import ARRANGEMENTS, Plan
from deploy.lab.compare.texts import TEXTS, Language, Words
from tests.deploy.compare.histories import broken_from_2_to_6, history, request

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
        )
        for fault in FAULTS for arrangement in ARRANGEMENTS
    ]  # fmt: skip


@pytest.mark.parametrize("language", ["en", "pt"])
def test_the_page_is_whole_and_needs_nothing_from_outside(language: Language) -> None:
    seen = experiment()
    words = Words(language)
    parser = Balance()
    parser.feed(page(Plan(arrangements=ARRANGEMENTS, faults=tuple(FAULTS)), seen, summarize(seen), ("nginx",), words))

    assert parser.open == [] and parser.outside == []
    assert all(words.fault(fault) in parser.text for fault in FAULTS)
    assert words["title"] in parser.text


def test_both_languages_fill_in_the_same_values() -> None:
    for key, texts in TEXTS.items():
        english, portuguese = ({name for _, name, _, _ in Formatter().parse(text) if name} for text in texts)
        assert english == portuguese, key


def test_portuguese_writes_a_decimal_comma() -> None:
    assert (Words("pt").number(1.5, 1), Words("en").number(1.5, 1)) == ("1,5", "1.5")


def test_a_timeline_marks_every_request_and_shades_the_fault() -> None:
    one = history(
        request(1.0), request(3.0, "", Outcome.ERROR), changes=broken_from_2_to_6(Condition.PAUSED),
        evictions=(Eviction(3.0, "ui1", True),),
    )  # fmt: skip
    drawing = timeline(one, Words("en"))

    assert drawing.count('class="ok"') == 1 and drawing.count('class="error"') == 1
    assert drawing.count('class="broken"') == 1 and drawing.count('class="out"') == 1


def test_a_server_that_stays_out_is_out_until_the_end() -> None:
    outs = (Eviction(1.0, "ui1", True), Eviction(2.0, "ui1", False), Eviction(4.0, "ui2", True))

    assert spans(history(evictions=outs)) == [("ui1", 1.0, 2.0), ("ui2", 4.0, 10.0)]


@pytest.mark.parametrize(("value", "top"), [(0, 4), (3, 4), (7, 8), (17, 20), (81, 100), (123, 200), (900, 1000)])
def test_a_scale_ends_with_a_round_number(value: float, top: float) -> None:
    assert nice_top(value) == top
