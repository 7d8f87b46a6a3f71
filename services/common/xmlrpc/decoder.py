"""Bytes to calls and answers.

Strict about types, as the daemon is: an integer is not a string, a 64-bit integer not an integer, and a value
without a type is a string. Text beside elements is passed over.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from datetime import datetime

from services.common.xmlrpc.elements import Element, Limits, read
from services.common.xmlrpc.values import I8, Call, Fault, FaultCode, Malformed, Value

CALL_LIMITS = Limits(size=32 * 1024 * 1024, depth=100, elements=100_000)
RESPONSE_LIMITS = Limits(size=512 * 1024 * 1024, depth=100, elements=1_000_000)

_INTEGER = re.compile(r"[+-]?[0-9]{1,30}")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]{1,400}\.?[0-9]{0,400}|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,4})?")


def decode_call(body: bytes, limits: Limits = CALL_LIMITS) -> Call:
    """The call that a client sent. Malformed (a Fault, ready to be answered) if it is not one."""
    try:
        root = read(body, limits)
        if root.name != "methodCall":
            raise _wrong(f"Root element is <{root.name}> instead of <methodCall>")
        method = _only(root, "methodName").text
        params = [child for child in root.children if child.name == "params"]
        values = _params(params[0]) if params else []
        for value in values:
            _refuse_beyond_bmp(value)
        return Call(method, values)
    except Malformed as error:
        if error.code != FaultCode.PARSE:
            raise
        raise Malformed(error.code, f"Call XML not a proper XML-RPC call.  {error.message}") from error


def decode_response(body: bytes, limits: Limits = RESPONSE_LIMITS) -> Value:
    """The value that a server answered.

    Raises Fault if the answer is one, and Malformed (a kind of Fault) if the bytes are no answer at all.
    """
    root = read(body, limits)
    if root.name != "methodResponse" or len(root.children) != 1:
        raise _wrong(
            f"Response is a <{root.name}> of {len(root.children)} elements instead of a <methodResponse> of one"
        )
    content = root.children[0]
    if content.name == "fault":
        raise _fault(_value(_only(content, "value")))
    values = _params(content)
    if len(values) != 1:
        raise _wrong(f"Response has {len(values)} values instead of one")
    return values[0]


def _fault(value: Value) -> Fault:
    if isinstance(value, dict):
        code, message = value.get("faultCode"), value.get("faultString")
        if isinstance(code, int) and isinstance(message, str):
            return Fault(code, message)
    return _wrong("Fault is not a structure of faultCode and faultString")


def _params(params: Element) -> list[Value]:
    if params.name != "params":
        raise _wrong(f"Found <{params.name}> where <params> belongs")
    for param in params.children:
        if param.name != "param":
            raise _wrong(f"Found <{param.name}> where <param> belongs")
    return [_value(_only(param, "value")) for param in params.children]


def _value(value: Element) -> Value:
    if not value.children:
        return value.text
    if len(value.children) > 1:
        raise _wrong(f"<value> has {len(value.children)} children instead of one type")
    typed = value.children[0]
    read_typed = _TYPES.get(typed.name)
    if read_typed is None:
        raise _wrong(f"Unknown value type <{typed.name}>")
    return read_typed(typed)


def _refuse_beyond_bmp(value: Value) -> None:
    """The daemon's library takes no character beyond U+FFFF in a call, while answers may have them."""
    if isinstance(value, str):
        if not value.isascii() and max(value) > "\uffff":
            first = next(character for character in value if character > "\uffff").encode()[0]
            raise _wrong(
                f"{len(value.encode())}-byte supposed UTF-8 string is not valid UTF-8.  UTF-8 string contains"
                f" a character not in the Basic Multilingual Plane (first byte 0xffffff{first:x})"
            )
    elif isinstance(value, list):
        for item in value:
            _refuse_beyond_bmp(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            _refuse_beyond_bmp(name)
            _refuse_beyond_bmp(item)


def _int(element: Element) -> int:
    return _integer(element, 32)


def _i8(element: Element) -> I8:
    return I8(_integer(element, 64))


def _integer(element: Element, bits: int) -> int:
    text = _leaf(element)
    if not _INTEGER.fullmatch(text):
        raise _wrong(f"<{element.name}> holds {text[:40]!r}, which is not an integer")
    number = int(text)
    if not -(2 ** (bits - 1)) <= number < 2 ** (bits - 1):
        raise _wrong(f"<{element.name}> holds {text}, which does not fit {bits} bits")
    return number


def _boolean(element: Element) -> bool:
    text = _leaf(element)
    if text not in ("0", "1"):
        raise _wrong(f"<boolean> holds {text[:40]!r} instead of 0 or 1")
    return text == "1"


def _double(element: Element) -> float:
    text = _leaf(element)
    if not _DECIMAL.fullmatch(text):
        raise _wrong(f"<double> holds {text[:40]!r}, which is not a number")
    return float(text)


def _date_time(element: Element) -> datetime:
    text = _leaf(element)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise _wrong(f"<dateTime.iso8601> holds {text[:40]!r}, which is not a time") from None


def _base64(element: Element) -> bytes:
    try:
        return base64.b64decode("".join(_leaf(element).split()), validate=True)
    except (binascii.Error, ValueError):
        raise _wrong("<base64> holds something else") from None


def _nil(element: Element) -> None:
    _leaf(element)


def _array(element: Element) -> list[Value]:
    data = _only(element, "data")
    for child in data.children:
        if child.name != "value":
            raise _wrong(f"Found <{child.name}> where an array's <value> belongs")
    return [_value(child) for child in data.children]


def _struct(element: Element) -> dict[str, Value]:
    members: dict[str, Value] = {}
    for member in element.children:
        if member.name != "member" or len(member.children) != 2:
            raise _wrong("<struct> holds something other than a <member> with <name> and <value>")
        members[_leaf(_only(member, "name"))] = _value(_only(member, "value"))
    return members


def _only(element: Element, name: str) -> Element:
    """The one child of this name."""
    found = [child for child in element.children if child.name == name]
    if len(found) != 1:
        raise _wrong(f"<{element.name}> has {len(found)} <{name}> children instead of one")
    return found[0]


def _leaf(element: Element) -> str:
    if element.children:
        raise _wrong(f"<{element.name}> has a <{element.children[0].name}> inside instead of text")
    return element.text


def _wrong(message: str) -> Malformed:
    return Malformed(FaultCode.PARSE, message)


_TYPES: dict[str, Callable[[Element], Value]] = {
    "string": _leaf,
    "int": _int,
    "i4": _int,
    "i2": _int,
    "i1": _int,
    "i8": _i8,
    "ex:i8": _i8,
    "boolean": _boolean,
    "double": _double,
    "dateTime.iso8601": _date_time,
    "base64": _base64,
    "nil": _nil,
    "ex:nil": _nil,
    "array": _array,
    "struct": _struct,
}
