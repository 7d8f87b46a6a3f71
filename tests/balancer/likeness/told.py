"""What of an answer, of a request to an upstream and of a line of a log must be the same."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from tests.balancer.support import RawClient

PATIENCE_S = 5.0
PAGE = "a page of its own"


@dataclass(frozen=True, slots=True)
class Told:
    """An answer: interim statuses before it, its head, its body, and how that ended."""

    interim: tuple[int, ...] = ()
    status: int = 0
    reason: str = ""
    lines: tuple[str, ...] = ()
    body: str = ""
    end: str = ""


async def told(client: RawClient, *, bodiless: bool) -> Told:
    """What a client gets for a request. ``end``: complete, closed, cut, or silent when nothing comes."""
    interim: list[int] = []
    reader = client.reader
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
                _, code, reason = (first + " ").split(" ", 2)
                if int(code) >= 200:
                    break
                interim.append(int(code))
            fields = {name.lower(): text.strip() for name, _, text in (line.partition(":") for line in lines)}
            body, end = b"", "complete"
            if bodiless or code in ("204", "304"):
                pass
            elif fields.get("transfer-encoding") == "chunked":
                body, end = await _chunks(reader)
            elif "content-length" in fields:
                body, end = await _exactly(reader, int(fields["content-length"]))
            else:
                body, end = await reader.read(), "closed"
    except asyncio.IncompleteReadError:
        return Told(tuple(interim), end="cut")
    except ConnectionError:
        return Told(tuple(interim), end="cut")
    except TimeoutError:
        return Told(tuple(interim), end="silent")
    return Told(tuple(interim), int(code), reason.strip(), tuple(lines), body.decode("latin-1"), end)


async def _exactly(reader: asyncio.StreamReader, size: int) -> tuple[bytes, str]:
    try:
        return await reader.readexactly(size), "complete"
    except asyncio.IncompleteReadError as end:
        return end.partial, "cut"


async def _chunks(reader: asyncio.StreamReader) -> tuple[bytes, str]:
    body = b""
    try:
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
    except (asyncio.IncompleteReadError, ConnectionError):
        return body, "cut"
    return body, "complete"


_OWN = ("server", "date")
_OF_A_PAGE = ("content-type", "content-length", "transfer-encoding")


def comparable(answer: Told, minor: int, *, bodiless: bool) -> Told:
    """The answer without what is each one's own: fields that tell of the server, and pages of errors."""
    said = answer.reason != "Said" and answer.status >= 300 and (bodiless or not answer.body)
    page = "<html" in answer.body.lower() or said
    dropped = (*_OWN, *_OF_A_PAGE) if page else _OWN
    lines = [spaced(line) for line in answer.lines if line.partition(":")[0].lower() not in dropped]
    if minor:
        lines = [line for line in lines if line.lower() != "connection: keep-alive"]
    return Told(answer.interim, answer.status, "", tuple(sorted(lines)), PAGE if page else answer.body, answer.end)


def spaced(line: str) -> str:
    """A header line with one blank behind its colon, whatever the sender put there."""
    name, _, text = line.partition(":")
    return f"{name}: {text.strip()}"


def without_port(text: str, port: int) -> str:
    return re.sub(rf"\b{port}\b", "PORT", text)
