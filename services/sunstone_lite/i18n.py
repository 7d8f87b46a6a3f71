"""Languages of the UI: English is the source text, the others are `.po` catalogs compiled when the process starts."""

import gettext
import io
from dataclasses import dataclass
from pathlib import Path

from babel import Locale
from babel.messages import mofile, pofile

LOCALES = Path(__file__).parent / "locales"
SOURCE = "en"
LANGUAGES = {"en": "English", "pt_BR": "Português (Brasil)"}


def N_(message: str) -> str:
    """Mark a message for the catalogs where it is written; it is translated where it is shown."""
    return message


@dataclass(frozen=True, slots=True)
class Language:
    """One language: its code (`pt_BR`), its tag for HTML (`pt-BR`), messages and number and date formats."""

    code: str
    locale: Locale
    messages: gettext.NullTranslations

    @property
    def tag(self) -> str:
        """BCP 47 tag."""
        return self.code.replace("_", "-")


def load() -> dict[str, Language]:
    """Every language by its code."""
    return {code: Language(code, Locale.parse(code), _messages(code)) for code in LANGUAGES}


def _messages(code: str) -> gettext.NullTranslations:
    if code == SOURCE:
        return gettext.NullTranslations()
    compiled = io.BytesIO()
    with (LOCALES / f"{code}.po").open("rb") as source:
        mofile.write_mo(compiled, pofile.read_po(source, locale=code))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def negotiate(chosen: str | None, accept_language: str, default: str) -> str:
    """The language to answer in: the visitor's choice, else the best of Accept-Language, else `default`."""
    if chosen in LANGUAGES:
        return str(chosen)
    for tag in _by_preference(accept_language):
        for code in LANGUAGES:
            if tag.split("-")[0] == code.split("_")[0].lower():
                return code
    return default


def _by_preference(header: str) -> list[str]:
    """Tags of an Accept-Language header (RFC 9110, 12.5.4), best first, refused ones left out."""
    weighted = []
    for place, part in enumerate(header[:500].split(",")):
        tag, _, parameter = part.strip().lower().partition(";")
        try:
            weight = float(parameter.strip().removeprefix("q=")) if parameter else 1.0
        except ValueError:
            weight = 0.0
        if tag and weight > 0:
            weighted.append((-weight, place, tag.strip()))
    return [tag for _, _, tag in sorted(weighted)]
