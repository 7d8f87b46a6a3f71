"""Asks a server whether it is ready."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from deploy.lab.topology import HttpProbe, MariaDbProbe, MemcachedProbe, Probe
from services.common.settings import Address

ANSWER_WITHIN_S = 2.0
ANSWER_LIMIT = 64 * 1024


@dataclass(frozen=True, slots=True)
class Amiss:
    """Why a server is not ready, in a few words, and whether it is up so far as to say so itself."""

    what: str
    answers: bool = False


async def ask(probe: Probe) -> Amiss | None:
    """None if the server is ready, else what is still amiss."""
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            match probe:
                case HttpProbe(address, path):
                    status, _ = await http_get(address, path)
                    return None if status == 200 else Amiss(f"{path} answers {status}", answers=True)
                case MemcachedProbe(address):
                    return _expect(b"VERSION", await _talk(address, b"version\r\nquit\r\n"))
                case MariaDbProbe(socket):
                    return await _greeting(socket)
    except TimeoutError:
        return Amiss("does not answer")
    except (ConnectionRefusedError, FileNotFoundError):
        return Amiss("does not listen yet")
    except (OSError, EOFError) as error:
        return Amiss(str(error))


async def http_get(address: Address, path: str) -> tuple[int, bytes]:
    """Status and body of one small GET. OSError or EOFError if there is no HTTP answer."""
    request = f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    head, _, body = (await _talk(address, request.encode())).partition(b"\r\n\r\n")
    words = head.split(maxsplit=2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        raise EOFError("answers, but not in HTTP")
    return int(words[1]), body


async def _talk(address: Address, words: bytes) -> bytes:
    """Says something and reads until the other side closes."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(words)
        answer = b""
        while len(answer) < ANSWER_LIMIT and (chunk := await reader.read(ANSWER_LIMIT)):
            answer += chunk
        return answer
    finally:
        writer.close()


async def _greeting(socket: Path) -> Amiss | None:
    """A MariaDB server speaks first: packet header, then protocol version 10."""
    reader, writer = await asyncio.open_unix_connection(str(socket))
    try:
        return _expect(b"\x0a", (await reader.readexactly(5))[4:])
    finally:
        writer.close()


def _expect(beginning: bytes, answer: bytes) -> Amiss | None:
    return None if answer.startswith(beginning) else Amiss(f"answers {answer[:40]!r}")
