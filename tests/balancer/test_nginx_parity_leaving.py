"""Clients that leave before they have their answer, behind a real nginx and behind the balancer."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from tests.balancer.beside import Start, Visit, alike, plugged
from tests.balancer.support import Upstream, answer, eventually, request
from tests.balancer.test_nginx_parity import directory as directory


class Waiting:
    """An upstream's way: it answers /ok at once, and anything else when it is let, unless the connection is closed before.

    ``ended`` has one word for each request that was not for /ok; of /part the answer begins at once.
    """

    def __init__(self) -> None:
        self.ended: list[str] = []

    async def __call__(
        self, up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes
    ) -> None:
        if b" /ok " in head:
            writer.write(answer(up.name.encode()))
            return
        if b" /part " in head:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nok")
        closed, let = asyncio.ensure_future(_until_closed(reader)), asyncio.ensure_future(up.release.wait())
        await asyncio.wait((closed, let), return_when=asyncio.FIRST_COMPLETED)
        self.ended.append("closed" if closed.done() else "let")
        for future in (closed, let):
            future.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await closed
        writer.write(b"late" if b" /part " in head else answer(b"late"))
        writer.close()


async def _until_closed(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        while await reader.read(1 << 16):
            pass


def site(first: str, second: str, more: str) -> str:
    """Two servers of which the first is charged for the first failure; their addresses are logged as letters."""
    return f"""
      map $upstream_addr $who {{ default $upstream_addr; '' -; {first} a; {second} b; "{first}, {second}" "a, b"; }}
      map $uri $told {{ default 1; /ok ''; }}
      log_format told '$request $status $who $upstream_status';
      upstream app {{ server {first} max_fails=1 fail_timeout=60; server {second}; }}
      server {{
        listen LISTEN; access_log ACCESS_LOG told if=$told; proxy_http_version 1.1; {more}
        location / {{ proxy_pass http://app; }}
        location /streamed {{ proxy_pass http://app; proxy_request_buffering off; }}
        location /part {{ proxy_pass http://app; proxy_buffering off; }}
      }}
    """


def half(path: str) -> bytes:
    return request("POST", path, "Content-Length: 5") + b"ab"


def chunk(path: str) -> bytes:
    return request("POST", path, "Transfer-Encoding: chunked") + b"2\r\nab\r\n"


LEAVING = {
    "waiting": (request("GET", "/wait"), "499 a -", "200 a 200"),
    "waiting after a body": (request("POST", "/wait", body=b"all"), "499 a -", "200 a 200"),
    "inside the answer": (request("GET", "/part"), "200 a 200", "200 a 200"),
    # A body that does not end is the client's mistake, and no answer is worth waiting for.
    "inside a body": (half("/body"), "400 - -", "400 - -"),
    "inside chunks": (chunk("/body"), "400 - -", "400 - -"),
    "inside a streamed body": (half("/streamed"), "400 a -", "400 a -"),
    "inside streamed chunks": (chunk("/streamed"), "400 a -", "400 a -"),
    "inside a head": (b"GET /head HTTP/1.1\r\nHo", "400 - -", "400 - -"),
}
"""What is sent, and what is logged: as a rule, and when clients that leave are ignored."""


@pytest.mark.parametrize("ignored", ["off", "on"])
async def test_clients_that_leave(upstream: Start, directory: Path, ignored: str) -> None:
    way = Waiting()
    first, second = await upstream("a", way), await upstream("b")
    text = site(first.address, second.address, f"proxy_ignore_client_abort {ignored};")

    async def leave(visit: Visit, sent: bytes) -> tuple[list[str], str]:
        """What the upstream saw, and who answers afterwards, until it is the first server's turn again."""
        turns = 3
        client = await visit.client()
        client.send(sent)
        path = sent.split(b" ")[1]
        if path in (b"/wait", b"/streamed", b"/part"):
            await eventually(lambda: any(path in head for head in first.heads))
        if path == b"/part":
            await client.reader.readuntil(b"ok")
        client.writer.transport.abort()
        if ignored == "on" and path in (b"/wait", b"/part"):
            # Nothing to wait for but that nothing happens: meanwhile another request goes all the way.
            await visit.front.send(request("GET", "/ok"))
            assert not way.ended
            turns -= 1
            first.release.set()
        if path in (b"/wait", b"/streamed", b"/part"):
            await eventually(lambda: way.ended)
        return way.ended, await visit.front.bodies(turns, "/ok")

    async def scene(visit: Visit) -> Any:
        seen = {}
        for name, (sent, *_) in LEAVING.items():
            way.ended = []
            first.heads.clear()
            first.release.clear()
            seen[name] = await leave(visit, sent)
        return seen, await visit.log(len(LEAVING))

    seen, log = await alike(directory, text, scene, together=False)
    lets = ["closed", "closed", "closed"] if ignored == "off" else ["let", "let", "let"]
    assert [end for ended, _ in seen.values() for end in ended] == [*lets, "closed", "closed"]
    assert all("a" in after for _, after in seen.values()), "who leaves is no failure of the server"
    logged = [line.partition(" HTTP/1.1 ")[2] for line in log]
    assert logged == [usual if ignored == "off" else other for _, usual, other in LEAVING.values()]


@pytest.mark.parametrize(("ignored", "log"), [("off", "499 a -"), ("on", "200 a, b 504, 200")])
async def test_clients_that_leave_while_a_server_is_connected_to(
    upstream: Start, directory: Path, ignored: str, log: str
) -> None:
    second = await upstream("b")
    text = site("PLUGGED", second.address, f"proxy_connect_timeout 500ms; proxy_ignore_client_abort {ignored};")

    async def scene(visit: Visit) -> Any:
        client = await visit.client()
        client.send(request("GET", "/"))
        client.writer.transport.abort()
        return await visit.log(1)

    with plugged() as address:
        assert await alike(directory, text.replace("PLUGGED", address), scene) == [f"GET / HTTP/1.1 {log}"]
