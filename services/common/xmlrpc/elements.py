"""XML into a plain tree of elements under strict bounds: no DOCTYPE, no entities, limited size, depth and count."""

from __future__ import annotations

from dataclasses import dataclass
from xml.parsers import expat

from services.common.xmlrpc.values import FaultCode, Malformed

_INVALID_TOKEN = expat.errors.codes[expat.errors.XML_ERROR_INVALID_TOKEN]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a message: its bytes, how deep its elements nest (an array or struct takes 3 or 4), and their number."""

    size: int
    depth: int
    elements: int


class Element:
    """An element: its children, and all the text directly inside it. Attributes do not matter in XML-RPC."""

    __slots__ = ("children", "name", "text")

    def __init__(self, name: str) -> None:
        self.name = name
        self.children: list[Element] = []
        self.text = ""


def read(body: bytes, limits: Limits) -> Element:
    """The root element of `body`, in the encoding that its prolog names. Malformed if it is no XML or over `limits`."""
    if len(body) > limits.size:
        raise Malformed(
            FaultCode.LIMIT_EXCEEDED, f"XML-RPC message too large: {len(body)} bytes, at most {limits.size} are taken"
        )
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.buffer_size = 64 * 1024
    builder = _Builder(limits)
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.characters
    parser.StartDoctypeDeclHandler = builder.doctype
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise Malformed(FaultCode.PARSE, _explain(error, body, parser.ErrorByteIndex)) from error
    except (LookupError, ValueError) as error:
        raise Malformed(FaultCode.PARSE, "It is in an encoding that is not supported") from error
    return builder.root.children[0]


class _Builder:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._count = 0
        self.root = Element("")
        self._open = [self.root]
        self._texts: list[list[str]] = [[]]  # of the open elements

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > self._limits.elements:
            raise Malformed(FaultCode.LIMIT_EXCEEDED, f"It has more than {self._limits.elements} elements")
        if len(self._open) > self._limits.depth:
            raise Malformed(FaultCode.PARSE, "Nested data structure too deep.")
        element = Element(name)
        self._open[-1].children.append(element)
        self._open.append(element)
        self._texts.append([])

    def end(self, name: str) -> None:
        self._open.pop().text = "".join(self._texts.pop())

    def characters(self, data: str) -> None:
        self._texts[-1].append(data)

    def doctype(self, *_: object) -> None:
        raise Malformed(FaultCode.PARSE, "It has a DOCTYPE, which is not taken")


def _explain(error: expat.ExpatError, body: bytes, offset: int) -> str:
    if error.code != _INVALID_TOKEN:
        return f"It is not valid XML.  {expat.ErrorString(error.code)}"
    near = body[offset : offset + 40].decode("latin-1").encode("unicode_escape").decode()
    return (
        f"Call is not valid XML.  Invalid XML \"content\".  Problem with token at '{near}...':"
        " Invalid token, starting 0 bytes in"
    )
