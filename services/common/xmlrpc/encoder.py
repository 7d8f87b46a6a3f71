"""Calls and answers to bytes."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from datetime import datetime

from services.common.xmlrpc.values import I8, EncodedParts, EncodedText, Value

_PROLOG = b'<?xml version="1.0" encoding="UTF-8"?>\r\n'
_FORBIDDEN_IN_XML = bytes(code for code in range(32) if code not in b"\t\n\r")


def encode_call(method: str, params: Sequence[Value]) -> bytes:
    """The body of a call. ValueError for a number that no type can hold."""
    parts = [_PROLOG, b"<methodCall><methodName>", encode_text(method), b"</methodName><params>"]
    for param in params:
        parts.append(b"<param>")
        _append(parts, param)
        parts.append(b"</param>")
    parts.append(b"</params></methodCall>\r\n")
    return b"".join(parts)


def encode_response(value: Value) -> bytes:
    """The body of an answer with this value."""
    parts = [_PROLOG, b"<methodResponse><params><param>"]
    _append(parts, value)
    parts.append(b"</param></params></methodResponse>\r\n")
    return b"".join(parts)


def encode_fault(code: int, message: str) -> bytes:
    """The body of a fault."""
    parts = [_PROLOG, b"<methodResponse><fault>"]
    _append(parts, {"faultCode": int(code), "faultString": message})
    parts.append(b"</fault></methodResponse>\r\n")
    return b"".join(parts)


def encode_text(text: str) -> EncodedText:
    """`text` ready to be sent, any number of times. What XML cannot hold (control characters) is left out."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#x0d;")
    return EncodedText(escaped.encode("utf-8", "replace").translate(None, _FORBIDDEN_IN_XML))


def _append(parts: list[bytes], value: Value) -> None:
    if isinstance(value, str):
        parts += (b"<value><string>", encode_text(value), b"</string></value>")
    elif isinstance(value, EncodedText):
        parts += (b"<value><string>", value, b"</string></value>")
    elif isinstance(value, EncodedParts):
        parts += (b"<value><string>", *value, b"</string></value>")
    elif isinstance(value, list | tuple):
        parts.append(b"<value><array><data>")
        for item in value:
            _append(parts, item)
        parts.append(b"</data></array></value>")
    elif isinstance(value, dict):
        parts.append(b"<value><struct>")
        for name, member in value.items():
            parts += (b"<member><name>", encode_text(name), b"</name>")
            _append(parts, member)
            parts.append(b"</member>")
        parts.append(b"</struct></value>")
    else:
        parts += (b"<value>", _scalar(value), b"</value>")


def _scalar(value: int | float | bytes | datetime | None) -> bytes:
    if value is None:
        return b"<nil/>"
    if isinstance(value, bool):
        return b"<boolean>%d</boolean>" % value
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} cannot be sent by XML-RPC")
        return b"<double>%s</double>" % repr(value).encode()
    if isinstance(value, datetime):
        return b"<dateTime.iso8601>%s</dateTime.iso8601>" % value.strftime("%Y%m%dT%H:%M:%S").encode()
    return b"<base64>%s</base64>" % base64.b64encode(value)


def _integer(value: int) -> bytes:
    if not isinstance(value, I8) and -(2**31) <= value < 2**31:
        return b"<i4>%d</i4>" % value
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{value} does not fit 64 bits")
    return b"<i8>%d</i8>" % value
