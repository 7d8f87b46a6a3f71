"""The XML notation: `<ANY><NAME>value</NAME><VECTOR><KEY>value</KEY></VECTOR></ANY>`.

An element with element children is a vector, any other a single value. Attributes, comments, text beside elements
and whatever lies deeper than a vector's values is passed over. An empty element is no value; an empty CDATA section is.
"""

import re
from collections.abc import Iterator
from xml.parsers import expat

from services.common.template.values import TemplateError, Value, Vector

MAX_DEPTH = 64
MALFORMED = "Parse error: XML Template malformed."

_NAME_START = re.compile(r"[^\W\d]")


def read(text: str) -> Iterator[tuple[str, Value]]:
    """The attributes of the XML document `text`, names as written without their namespace prefix.

    TemplateError if it is not well-formed, nests deeper than MAX_DEPTH, or has a DOCTYPE (entities are never expanded).
    """
    reader = _Reader()
    parser = expat.ParserCreate("utf-8")  # it is text already, whatever its prolog says
    parser.buffer_text = True
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.StartDoctypeDeclHandler = reader.doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.characters
    parser.StartCdataSectionHandler = reader.cdata_section
    try:
        parser.Parse(text.encode(), True)
    except (expat.ExpatError, UnicodeEncodeError) as error:
        raise TemplateError(MALFORMED) from error
    return iter(reader.items)


class _Reader:
    """Collects attributes from the parser's events. Depth 1 is the root, 2 an attribute, 3 a vector's value."""

    def __init__(self) -> None:
        self.items: list[tuple[str, Value]] = []
        self._depth = 0
        self._text: list[str] | None = None  # of the attribute or value being read; None while it has no content
        self._pairs: dict[str, str] | None = None  # of the vector being read
        self._has_children = False  # of the vector's value being read

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise TemplateError(MALFORMED)
        if self._depth == 2:
            self._text, self._pairs = None, None
        elif self._depth == 3:
            self._text, self._has_children = None, False
            self._pairs = {} if self._pairs is None else self._pairs
        elif self._depth > 3:
            self._has_children = True

    def end(self, name: str) -> None:
        if self._depth == 3 and self._pairs is not None and not self._has_children and self._text is not None:
            self._pairs[_local(name)] = _joined(self._text)
        elif self._depth == 2 and self._pairs is not None:
            self.items.append((_local(name), Vector.of(self._pairs)))
        elif self._depth == 2 and self._text is not None:
            self.items.append((_local(name), _joined(self._text)))
        self._depth -= 1

    def characters(self, data: str) -> None:
        if self._depth == 2 or self._depth == 3:
            if self._text is None:
                self._text = []
            self._text.append(data)

    def cdata_section(self) -> None:
        self.characters("")

    def doctype(self, *_: object) -> None:
        raise TemplateError(MALFORMED)


def _local(name: str) -> str:
    local = name.rpartition(":")[2]
    if len(local) < len(name) and not _NAME_START.match(local):  # what follows a prefix need not be a name by itself
        raise TemplateError(MALFORMED)
    return local


def _joined(pieces: list[str]) -> str:
    return "".join(pieces).replace("\r", "\n")  # only `&#13;` gets here; a CDATA section could not bring it back
