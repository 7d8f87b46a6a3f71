"""Request heads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from services.balancer.wire.fields import (
    CRLF,
    Field,
    FieldParser,
    FramingError,
    connection_options,
    content_length,
    list_items,
    remember,
)

_METHOD: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ_-"
_TARGET_BAD: Final = bytes(range(33)) + b"\x7f"
_SLASH: Final = 0x2F
_SPACE: Final = 0x20
_REFUSED: Final = _TARGET_BAD + b"#"
_NOTABLE: Final = _REFUSED + b"%."
_HOST_BAD: Final = bytes(range(33)) + b'\x7f"#<>?@\\^`{|}/,'
_UNIQUE: Final = frozenset((b"host", b"content-length", b"transfer-encoding", b"expect"))
_USUAL_METHODS: Final = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"))
MAX_BLOCKS: Final = 1024
VERSION_BYTES: Final = 8  # of HTTP/1.1
MAX_REFUSED_LINE: Final = 8192  # bytes of it that a log may show
MAX_REMEMBERED_BLOCK: Final = 4096


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """Bounds of a request head in bytes (nginx ``large_client_header_buffers``)."""

    line: int = 8192
    total: int = 32768
    fields: int = 100


class FieldBlock:
    """Everything of a head but method and target: the version and the fields, checked; never changed afterwards.

    Clients send the same block with every request, so it is parsed once. ``raw`` is the block as received, ``memo`` is room
    for what others derive from it.
    """

    __slots__ = (
        "chunked",
        "expects",
        "fields",
        "has_body",
        "host",
        "keep_alive",
        "length",
        "memo",
        "minor",
        "raw",
        "upgrade",
    )

    def __init__(self, raw: bytes, minor: int, fields: list[Field]) -> None:
        self.raw = raw
        special = [field for field in fields if field.special]
        unique = _unique_fields(special)
        options = connection_options(special)
        self.minor = minor
        self.fields = fields
        self.host = unique.get(b"host")
        self.length, self.chunked = _framing(unique, minor)
        self.has_body = self.chunked or bool(self.length)
        self.keep_alive = b"close" not in options and (minor == 1 or b"keep-alive" in options)
        self.upgrade = b""
        if b"upgrade" in options and minor == 1:
            self.upgrade = b", ".join([field.value for field in special if field.name == b"upgrade"])
        self.expects = unique.get(b"expect", b"").lower() == b"100-continue" and minor == 1
        self.memo: dict[Any, Any] = {}
        if self.host is not None and not _is_host(self.host):
            raise FramingError("malformed Host")


class RequestHead:
    """A request head that passed every check, never changed afterwards.

    ``path`` is the target without scheme, authority and query; ``host`` is the authority of an absolute target, else the
    Host field. ``simple``: the path is certain to have nothing to decode or to resolve.
    """

    __slots__ = ("block", "host", "method", "path", "query", "simple", "target")

    def __init__(
        self, method: bytes, target: bytes, host: bytes, path: bytes, query: bytes, block: FieldBlock,
        *, simple: bool = False,
    ) -> None:  # fmt: skip
        self.simple = simple
        self.method = method
        self.target = target
        self.host = host
        self.path = path
        self.query = query
        self.block = block

    @property
    def size(self) -> int:
        """Bytes of the head as it was received."""
        return len(self.method) + len(self.target) + 2 + len(self.block.raw)

    @property
    def minor(self) -> int:
        return self.block.minor

    @property
    def fields(self) -> list[Field]:
        return self.block.fields

    @property
    def length(self) -> int | None:
        return self.block.length

    @property
    def chunked(self) -> bool:
        return self.block.chunked

    @property
    def has_body(self) -> bool:
        return self.block.has_body

    @property
    def keep_alive(self) -> bool:
        return self.block.keep_alive

    @property
    def upgrade(self) -> bytes:
        return self.block.upgrade

    @property
    def expects(self) -> bool:
        return self.block.expects

    def get(self, name: bytes) -> bytes:
        """Value of a field by lower-case name; several are joined by a comma; empty when absent."""
        return b", ".join([field.value for field in self.block.fields if field.name == name])

    @property
    def connection_options(self) -> list[bytes]:
        return list_items(self.get(b"connection"))


def host_name(host: bytes) -> bytes:
    """A host in lower case without port, and without a dot at its end."""
    name = host.lower()
    name = name.partition(b"]")[0] + b"]" if name[:1] == b"[" else name.partition(b":")[0]
    return name[:-1] if name[-1:] == b"." else name


def origin_form(request: RequestHead) -> bytes:
    """The target without scheme and authority (nginx ``$request_uri``)."""
    target = request.target
    if target[:1] == b"/" or target.find(b"://") < 0:
        return target
    rest = target.partition(b"://")[2]
    for index in range(len(rest)):
        if rest[index] in b"/?":
            return rest[index:]
    return b"/"


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


class RequestParser:
    """Parses complete heads; remembers the field blocks seen lately, bounded in number and size."""

    __slots__ = ("_blocks", "_fields", "_limits")

    def __init__(self, limits: HeadLimits) -> None:
        self._limits = limits
        self._fields = FieldParser()
        self._blocks: dict[bytes, FieldBlock] = {}

    def parse(self, head: bytes) -> RequestHead:
        """Parse a complete head (with its empty line); raises FramingError with the status to answer."""
        end = head.find(CRLF)
        raw = head[end - VERSION_BYTES :]
        line = _request_line(head[:end])
        block = self._blocks.get(raw)
        if block is None:
            block = self._parse_block(raw)
        return _request(line, block)

    def follow(self, before: FieldBlock, data: bytes) -> RequestHead | None:
        """Parse what a client sent whose last head had the block ``before``; None unless it is one head with the same
        block and a target in origin form.
        """
        # Slices and partition instead of find and startswith, which are called in a slower way.
        end = len(data) - len(before.raw) - 1  # of the target
        if end < 0 or len(data) > self._limits.line or data[end + 1 :] != before.raw:
            return None
        method, _, target = data[:end].partition(b" ")
        notable = len(target.translate(None, _NOTABLE)) != len(target)
        if (
            (method != b"GET" and method not in _USUAL_METHODS)
            or data[len(method) + 1] != _SLASH
            or data[end] != _SPACE
            or (notable and len(target.translate(None, _REFUSED)) != len(target))
        ):
            return None
        path, _, query = target.partition(b"?")
        simple = not notable and not path.partition(b"//")[1]
        return RequestHead(method, target, before.host or b"", path, query, before, simple=simple)

    def _parse_block(self, raw: bytes) -> FieldBlock:
        lines = raw[:-4].split(CRLF)
        if len(lines) - 1 > self._limits.fields:
            raise FramingError("too many header lines", 431)
        block = FieldBlock(raw, _minor(lines[0]), self._fields.parse(lines[1:]))
        if len(raw) <= MAX_REMEMBERED_BLOCK:
            remember(self._blocks, raw, block, MAX_BLOCKS)
        return block


def _request(line: tuple[bytes, bytes], block: FieldBlock) -> RequestHead:
    method, target = line
    if target[:1] != b"/" or method == b"CONNECT":
        authority, path, query = _split_target(method, target)
        return RequestHead(method, target, _host(block, authority), path, query, block)
    if block.host is None and block.minor:
        raise FramingError("no Host")
    fragment = target.find(b"#")
    path, _, query = (target if fragment < 0 else target[:fragment]).partition(b"?")
    return RequestHead(method, target, block.host or b"", path, query, block)


def unreadable(data: bytes) -> RequestHead:
    """What stands for a request that was refused: its first line, as far as there is one, as the target; no method."""
    line = data[:MAX_REFUSED_LINE].partition(b"\n")[0].rstrip(b"\r")
    return RequestHead(b"", line, b"", b"", b"", FieldBlock(b"", 1, []))


def _request_line(line: bytes) -> tuple[bytes, bytes]:
    parts = line.split(b" ")
    if len(parts) != 3:
        raise FramingError("malformed request line")
    method, target, version = parts
    if method not in _USUAL_METHODS:
        if not method or method.translate(None, _METHOD):
            raise FramingError("malformed request line")
        if method == b"TRACE":
            raise FramingError("the method is not offered", 405)
    if not target or len(target.translate(None, _TARGET_BAD)) != len(target):
        raise FramingError("malformed request target")
    if len(version) != 8:
        _minor(version)
    return method, target


def _minor(version: bytes) -> int:
    if version == b"HTTP/1.1":
        return 1
    if version == b"HTTP/1.0":
        return 0
    if version[:5] == b"HTTP/" and version[5:6].isdigit() and version[5:6] not in (b"0", b"1"):
        raise FramingError("HTTP version not supported", 505)
    raise FramingError("malformed HTTP version")


def _unique_fields(fields: list[Field]) -> dict[bytes, bytes]:
    unique: dict[bytes, bytes] = {}
    for field in fields:
        if field.name in _UNIQUE:
            if field.name in unique:
                raise FramingError(f"repeated {field.name.decode()}")
            unique[field.name] = field.value
    return unique


def _split_target(method: bytes, target: bytes) -> tuple[bytes | None, bytes, bytes]:
    """Authority (absolute form only), path and query of a target."""
    if method == b"CONNECT" and target[:1] == b"/":
        raise FramingError("the method is not offered", 405)
    authority: bytes | None = None
    if target[:1] != b"/":
        if target == b"*" and method == b"OPTIONS":
            return None, target, b""
        scheme, found, rest = target.partition(b"://")
        if not found or scheme.lower() not in (b"http", b"https"):
            raise FramingError("malformed request target")
        rest = rest.partition(b"#")[0]
        authority, slash, tail = rest.partition(b"/")
        target = slash + tail or b"/"
        if b"?" in authority:
            authority, _, query = authority.partition(b"?")
            target = b"/?" + query
    path, _, query = target.partition(b"?")
    return authority, path, query


def _host(block: FieldBlock, authority: bytes | None) -> bytes:
    """The host asked for; the authority of an absolute target wins over the Host field."""
    if block.host is None and block.minor == 1:
        raise FramingError("no Host")
    if authority is None:
        return block.host or b""
    if not _is_host(authority):
        raise FramingError("malformed request target")
    return authority


def _is_host(host: bytes) -> bool:
    return bool(host) and len(host.translate(None, _HOST_BAD)) == len(host) and host.find(b"..") < 0


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
