"""Both languages are whole: every message of the sources is in the catalog, with its placeholders, and no other."""

from __future__ import annotations

import re

import pytest
from babel.messages import pofile

from services.sunstone_lite import i18n
from tests.sunstone_lite.messages import all_messages

PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|\{\w+\}")
OTHERS = [code for code in i18n.LANGUAGES if code != i18n.SOURCE]


@pytest.mark.parametrize("code", OTHERS)
def test_every_message_is_translated_and_none_is_left_over(code: str) -> None:
    with (i18n.LOCALES / f"{code}.po").open("rb") as file:
        catalog = pofile.read_po(file, locale=code)
    known = {message.id: message for message in catalog if message.id}
    wanted = all_messages()
    assert wanted - known.keys() == set(), "messages without a translation"
    assert known.keys() - wanted == set(), "translations of messages that are gone"
    assert [message.id for message in known.values() if message.fuzzy] == []
    for message in known.values():
        texts = message.string if isinstance(message.string, tuple) else (message.string,)
        sources = message.id if isinstance(message.id, tuple) else (message.id,)
        assert all(texts), message.id
        for source, text in zip(sources, texts, strict=True):
            assert sorted(PLACEHOLDER.findall(text)) == sorted(PLACEHOLDER.findall(source)), message.id


def test_the_extraction_finds_python_and_templates() -> None:
    found = all_messages()
    assert {"Terminate", "Skip to content", ("%(num)d object", "%(num)d objects")} <= found


@pytest.mark.parametrize(
    ("chosen", "header", "expected"),
    [
        (None, "pt-BR,pt;q=0.9,en;q=0.8", "pt_BR"),
        (None, "pt", "pt_BR"),
        (None, "de, en;q=0.5", "en"),
        (None, "en;q=0.3, pt-PT;q=0.7", "pt_BR"),
        (None, "pt;q=0, en", "en"),
        (None, "fr;q=x", "pt_BR"),
        (None, "", "pt_BR"),
        ("en", "pt-BR", "en"),
        ("xx", "en", "en"),
    ],
)
def test_the_language_is_the_visitors_choice_then_the_browsers_then_the_default(
    chosen: str | None, header: str, expected: str
) -> None:
    assert i18n.negotiate(chosen, header, "pt_BR") == expected


def test_numbers_and_plurals_follow_the_language() -> None:
    messages = i18n.load()["pt_BR"].messages
    assert messages.ngettext("%(num)d object", "%(num)d objects", 1) == "%(num)d objeto"
    assert messages.ngettext("%(num)d object", "%(num)d objects", 2) == "%(num)d objetos"
