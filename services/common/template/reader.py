"""Reading a template in either notation, under bounds, into the order and the names that the daemon stores."""

import re
from collections.abc import Iterable, Iterator

from services.common.template import text_form, xml_form
from services.common.template.values import Template, TemplateError, Value

MAX_CHARACTERS = 8 * 1024 * 1024
MAX_ATTRIBUTES = 20_000  # attributes and values in vectors together; the largest real templates have a few hundred

_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_LOWER = re.compile("[a-z]+")


def parse(text: str) -> Template:
    """The template that `text` states in text notation, or in XML if its very first character is `<`.

    Raises TemplateError with the daemon's detail. The line in it is true, unlike the daemon's.
    """
    if len(text) > MAX_CHARACTERS:
        raise TemplateError(f"Parse error: template is longer than {MAX_CHARACTERS} characters.")
    if text.startswith("<"):
        return Template.of(_bounded(xml_form.read(text)))
    if "]]>" in text or _NOT_IN_XML.search(text):
        raise TemplateError("Parse error.")
    text = text.replace("\r\n", "\n").replace("\r", "\n")  # as any XML body will read when it comes back
    return Template.of(_bounded((item.name, item.value) for item in text_form.read(text)))


def stored_name(name: str) -> str:
    """The name that an attribute is stored under: ASCII letters in upper case, with a prefix where XML needs one."""
    upper = _LOWER.sub(lambda match: match[0].upper(), name)
    return f"ONE_{upper}" if "0" <= upper[:1] <= "9" or upper.startswith("XML") else upper


def _bounded(items: Iterable[tuple[str, Value]]) -> Iterator[tuple[str, Value]]:
    count = 0
    for written, value in items:
        count += 1 if isinstance(value, str) else 1 + len(value)
        if count > MAX_ATTRIBUTES:
            raise TemplateError(f"Parse error: template has more than {MAX_ATTRIBUTES} attributes.")
        name = stored_name(written)
        # trailing blanks of a name would make two objects look alike; the daemon cuts them too
        yield name, value.rstrip() if name == "NAME" and isinstance(value, str) else value
