"""The balancer's own answers."""

from __future__ import annotations

import functools

REASONS = {
    301: "Moved Permanently",
    302: "Found",
    303: "See Other",
    307: "Temporary Redirect",
    308: "Permanent Redirect",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Not Allowed",
    408: "Request Timeout",
    413: "Request Entity Too Large",
    414: "Request-URI Too Large",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
    505: "HTTP Version Not Supported",
}
ENDS_CONNECTION = frozenset((400, 413, 414, 500, 501))
"""Errors after which the connection is not kept, as in nginx, whatever page says them."""
REDIRECTS = frozenset((301, 302, 303, 307, 308))

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{status} {reason}</title>
<meta name="viewport" content="width=device-width"><style>
:root{{color-scheme:light dark}}body{{font:16px/1.5 system-ui,sans-serif;display:grid;place-content:center;
min-height:90vh;text-align:center}}h1{{font-weight:600;margin:0}}p{{opacity:.7}}
</style></head><body><h1>{status} {reason}</h1><p>balancer</p></body></html>
"""


@functools.lru_cache(maxsize=256)
def error_answer(status: int, *, close: bool, bodiless: bool = False) -> bytes:
    """A complete answer with a small page; ``bodiless`` for HEAD requests."""
    return plain_answer(status, _page(status), "text/html; charset=utf-8", close=close, bodiless=bodiless)


def _page(status: int) -> bytes:
    return _PAGE.format(status=status, reason=REASONS.get(status, "Error")).encode()


def plain_answer(
    status: int, body: bytes, content_type: str, *, close: bool, bodiless: bool = False, location: bytes | None = None
) -> bytes:
    """A complete answer of the balancer itself (nginx ``return``)."""
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, '')}".encode()]
    if location is not None:
        lines.append(b"Location: " + location)
    if status not in (204, 304):
        lines += [f"Content-Type: {content_type}".encode()] if content_type else []
        lines.append(b"Content-Length: %d" % len(body))
    lines += [b"Connection: close" if close else b"Connection: keep-alive", b"", b""]
    return b"\r\n".join(lines) + (b"" if bodiless or status in (204, 304) else body)


def redirect_answer(status: int, location: bytes, *, close: bool, bodiless: bool = False) -> bytes:
    return plain_answer(status, _page(status), "text/html; charset=utf-8", close=close, bodiless=bodiless,
                        location=location)  # fmt: skip


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
