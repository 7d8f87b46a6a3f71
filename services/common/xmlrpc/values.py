"""The values that travel in XML-RPC, and what can be wrong with a message."""

from __future__ import annotations

from datetime import datetime
from enum import IntEnum
from typing import NamedTuple, TypeAlias, Union


class I8(int):
    """An integer that is sent as the 64-bit type `<i8>`; plain integers are sent as `<i4>`."""

    __slots__ = ()


class EncodedText(bytes):
    """A string that is UTF-8 and escaped already (by `encode_text`), so that sending it again costs nothing."""

    __slots__ = ()


class EncodedParts(tuple[EncodedText, ...]):
    """One string in parts, so that a long one is put together only once, in the document that is sent."""

    __slots__ = ()


# bool and I8 are kinds of int, EncodedText of bytes; each is sent as its own type
Value: TypeAlias = Union[str, int, float, bytes, datetime, "list[Value]", "tuple[Value, ...]", "dict[str, Value]", None]


class Call(NamedTuple):
    """A method call as it was decoded."""

    method: str
    params: list[Value]


class FaultCode(IntEnum):
    """Codes of XML-RPC faults, as the daemon's library numbers them."""

    INTERNAL = -500
    TYPE = -501
    INDEX = -502
    PARSE = -503
    NO_SUCH_METHOD = -506
    REQUEST_REFUSED = -507
    LIMIT_EXCEEDED = -509
    INVALID_UTF8 = -510


class Fault(Exception):
    """An XML-RPC fault: an answer that says the call itself was wrong. `code` is mostly one of FaultCode."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = int(code)
        self.message = message

    def __str__(self) -> str:
        return f"fault {self.code}: {self.message}"


class Malformed(Fault):
    """The bytes are not an XML-RPC message, or exceed the limits. It was found here and not sent by a peer."""
