"""Request heads."""

from __future__ import annotations

from dataclasses import dataclass

from services.balancer.wire.fields import (
    CRLF,
    TOKEN,
    Field,
    FramingError,
    content_length,
    list_items,
    parse_fields,
    split_head,
)

_TARGET_BAD = bytes(range(33)) + b"\x7f"
_HOST_BAD = bytes(range(33)) + b'\x7f"#<>?@\\^`{|}/,'
_UNIQUE = frozenset((b"host", b"content-length", b"transfer-encoding", b"expect"))


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """Bounds of a request head in bytes (nginx ``large_client_header_buffers``)."""

    line: int = 8192
    total: int = 32768
    fields: int = 100


@dataclass(frozen=True, slots=True, eq=False)
class RequestHead:
    """A request head that passed every check. ``path`` is the target without scheme, authority and query."""

    method: bytes
    target: bytes
    minor: int
    fields: tuple[Field, ...]
    host: bytes
    path: bytes
    query: bytes
    length: int | None
    chunked: bool
    keep_alive: bool
    upgrade: bytes
    expects: bool

    def get(self, name: bytes) -> bytes:
        """Value of a field by lower-case name; several are joined by a comma; empty when absent."""
        return b", ".join([value for lower, value, _ in self.fields if lower == name])

    @property
    def has_body(self) -> bool:
        return self.chunked or bool(self.length)

    @property
    def connection_options(self) -> list[bytes]:
        return list_items(self.get(b"connection"))


def find_head(data: bytes, limits: HeadLimits) -> int:
    """Length of the head at the start of ``data`` with its empty line, or 0 when more bytes are needed.

    Raises FramingError 414 or 431 as soon as a limit is passed, 400 as soon as a lone LF is seen.
    """
    end = data.find(b"\r\n\r\n", 0, limits.total)
    head = data[: end + 4] if end >= 0 else data[: limits.total]
    _check_limits(head, limits)
    if end >= 0:
        return end + 4
    if len(data) >= limits.total:
        raise FramingError("request head too large", 431)
    if data.count(b"\n") != data.count(CRLF):
        raise FramingError("LF alone in the head")
    return 0


def _check_limits(head: bytes, limits: HeadLimits) -> None:
    if len(head) <= limits.line:
        return
    first, *others = head.split(CRLF)
    if len(first) > limits.line:
        raise FramingError("request line too long", 414)
    if any(len(line) > limits.line for line in others):
        raise FramingError("header line too long", 431)


def parse_request(head: bytes, limits: HeadLimits) -> RequestHead:
    """Parse a complete head (with its empty line); raises FramingError with the status to answer."""
    lines = split_head(head)
    if len(lines) - 1 > limits.fields:
        raise FramingError("too many header lines", 431)
    method, target, minor = _request_line(lines[0])
    fields = parse_fields(lines[1:])
    unique = _unique_fields(fields)
    authority, path, query = _split_target(method, target)
    host = _host(unique.get(b"host"), authority, minor)
    length, chunked = _framing(unique, minor)
    options = [item for name, value, _ in fields if name == b"connection" for item in list_items(value)]
    upgrade = b", ".join([value for name, value, _ in fields if name == b"upgrade"])
    return RequestHead(
        method=method,
        target=target,
        minor=minor,
        fields=fields,
        host=host,
        path=path,
        query=query,
        length=length,
        chunked=chunked,
        keep_alive=b"close" not in options and (minor == 1 or b"keep-alive" in options),
        upgrade=upgrade if b"upgrade" in options and minor == 1 else b"",
        expects=unique.get(b"expect", b"").lower() == b"100-continue" and minor == 1,
    )


def _request_line(line: bytes) -> tuple[bytes, bytes, int]:
    parts = line.split(b" ")
    if len(parts) != 3 or not parts[0] or parts[0].translate(None, TOKEN):
        raise FramingError("malformed request line")
    method, target, version = parts
    if not target or len(target.translate(None, _TARGET_BAD)) != len(target):
        raise FramingError("malformed request target")
    if version == b"HTTP/1.1":
        return method, target, 1
    if version == b"HTTP/1.0":
        return method, target, 0
    if version[:5] == b"HTTP/" and version[5:6].isdigit() and version[5:6] not in (b"0", b"1"):
        raise FramingError("HTTP version not supported", 505)
    raise FramingError("malformed HTTP version")


def _unique_fields(fields: tuple[Field, ...]) -> dict[bytes, bytes]:
    unique: dict[bytes, bytes] = {}
    for name, value, _ in fields:
        if name in _UNIQUE:
            if name in unique:
                raise FramingError(f"repeated {name.decode()}")
            unique[name] = value
    return unique


def _split_target(method: bytes, target: bytes) -> tuple[bytes | None, bytes, bytes]:
    """Authority (absolute form only), path and query of a target."""
    if method == b"CONNECT":
        raise FramingError("CONNECT is not offered", 405)
    authority: bytes | None = None
    if target[:1] != b"/":
        if target == b"*" and method == b"OPTIONS":
            return None, target, b""
        scheme, found, rest = target.partition(b"://")
        if not found or scheme.lower() not in (b"http", b"https"):
            raise FramingError("malformed request target")
        authority, slash, tail = rest.partition(b"/")
        target = slash + tail or b"/"
        if b"?" in authority:
            authority, _, query = authority.partition(b"?")
            target = b"/?" + query
    path, _, query = target.partition(b"?")
    return authority, path.partition(b"#")[0], query


def _host(field: bytes | None, authority: bytes | None, minor: int) -> bytes:
    """The host asked for; the authority of an absolute target wins over the Host field."""
    if field is None and minor == 1:
        raise FramingError("no Host")
    for candidate in (field, authority):
        if candidate and len(candidate.translate(None, _HOST_BAD)) != len(candidate):
            raise FramingError("malformed Host")
    if authority is not None:
        if not authority:
            raise FramingError("malformed request target")
        return authority
    return field or b""


def _framing(unique: dict[bytes, bytes], minor: int) -> tuple[int | None, bool]:
    coding = unique.get(b"transfer-encoding")
    declared = unique.get(b"content-length")
    if coding is None:
        return (content_length(declared) if declared is not None else None), False
    if declared is not None:
        raise FramingError("both Content-Length and Transfer-Encoding")
    if minor == 0:
        raise FramingError("Transfer-Encoding in HTTP/1.0")
    if coding.lower() != b"chunked":
        raise FramingError("transfer coding not supported", 501)
    return None, True
