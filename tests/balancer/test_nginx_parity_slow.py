"""Large answers and clients that read slowly or not yet, behind a real nginx and behind the balancer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.balancer.beside import Start, Visit, alike, received, stubborn
from tests.balancer.support import Upstream, answer, eventually, request
from tests.balancer.test_nginx_parity import both
from tests.balancer.test_nginx_parity import directory as directory

PIECE = bytes(1 << 16)
SIP = 2 << 20


async def pause(count: int, more: int) -> None:
    """Wait a little after every 2 MB: long enough that all of it takes too long, short enough to be heard of in between."""
    if count // SIP != (count - more) // SIP:
        await asyncio.sleep(0.4)


class Large:
    """An upstream's way: the path says how much is announced and how much is sent, in MB, before the connection closes."""

    def __init__(self) -> None:
        self.sent = 0
        self.done: list[str] = []

    async def __call__(
        self, up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes
    ) -> None:
        path = head.split(b" ")[1].decode()
        announced, sent = (int(part) << 20 for part in path.split("/")[2].split("-"))
        length = b"Content-Length: %d\r\n" % announced if announced else b""
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + length + b"\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(sent // len(PIECE)):
                writer.write(PIECE)
                await writer.drain()
                self.sent += len(PIECE)
        writer.close()
        self.done.append(path)


def site(server: Upstream, more: str = "") -> str:
    """Paths that begin with /ahead are read ahead of clients, /little a little, /off not at all."""
    return f"""
      upstream app {{ server {server.address} max_conns=1; }}
      server {{
        listen LISTEN; proxy_http_version 1.1; {more}
        location /ahead {{ proxy_pass http://app; proxy_buffers 32 1m; }}
        location /little {{ proxy_pass http://app; proxy_buffers 4 32k; proxy_max_temp_file_size 0; }}
        location /off {{ proxy_pass http://app; proxy_buffering off; }}
      }}
    """


async def test_what_is_read_ahead_frees_the_server(upstream: Start, directory: Path) -> None:
    way = Large()
    server = await upstream("a", way)

    async def scene(visit: Visit) -> Any:
        lazy = stubborn(visit.front)
        lazy.send(request("GET", "/ahead/8-8", "Connection: close"))
        statuses = []

        async def served() -> bool:
            statuses.append((await visit.front.send(request("GET", "/ahead/0-0"))).status)
            return statuses[-1] == 200

        async with asyncio.timeout(5):
            while not await served():
                pass
        count, end = await received(lazy)
        return count > 8 << 20, end, set(statuses) <= {200, 502}

    assert await alike(directory, site(server), scene, together=False) == (True, "end", True)


@pytest.mark.parametrize("path", ["/little", "/off"])
async def test_an_upstream_is_stopped_when_a_client_does_not_read(upstream: Start, directory: Path, path: str) -> None:
    way = Large()
    server = await upstream("a", way)

    async def scene(visit: Visit) -> Any:
        way.sent = 0
        lazy = stubborn(visit.front)
        lazy.send(request("GET", f"{path}/48-48", "Connection: close"))
        seen = -1
        while seen != way.sent:  # what can be taken in has been, when nothing more is taken for a while
            seen = way.sent
            await asyncio.sleep(0.2)
        busy = (await visit.front.send(request("GET", "/off/0-0"))).status
        stopped = way.sent < 24 << 20
        count, end = await received(lazy)
        return stopped, busy, count > 48 << 20, end

    assert await alike(directory, site(server), scene, together=False) == (True, 502, True, "end")


async def test_slow_clients_have_as_long_as_they_go_on_reading(upstream: Start, directory: Path) -> None:
    """The time to send is one without progress, also when the answer is complete and waits for the client alone."""
    server = await upstream("a", Large())
    text = site(server, "send_timeout 2s; keepalive_timeout 300ms;").replace("max_conns=1", "")

    async def sip(client: socket.socket) -> int:
        loop, count = asyncio.get_running_loop(), 0
        with contextlib.suppress(ConnectionResetError):
            while count < 16 << 20 and (data := await loop.sock_recv(client, 1 << 17)):
                count += len(data)
                await pause(count, len(data))
        client.close()
        return count

    async def scene(visit: Visit) -> Any:
        clients = []
        for line in ("Connection: close", "X: stays"):
            clients.append(stubborn(visit.front))
            clients[-1].send(request("GET", "/ahead/16-16", line))
        return [count >= 16 << 20 for count in await asyncio.gather(*map(sip, clients))]

    assert await alike(directory, text, scene) == [True, True]


async def test_slow_upstreams_have_as_long_as_they_go_on_reading(upstream: Start, directory: Path) -> None:
    """One that takes nothing within the time to send has failed, and another one is asked."""
    size = 16 << 20

    async def sip(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        count = 0
        with contextlib.suppress(ConnectionError):
            if head.startswith(b"PUT /stuck"):
                await up.release.wait()
            while count < size and (data := await reader.read(1 << 17)):
                count += len(data)
                await pause(count, len(data))
        writer.write(answer(b"%d" % count))

    first, second = await upstream("a", sip), await upstream("b")
    text = f"""
      log_format told '$uri $upstream_status';
      upstream app {{ server {first.address} max_fails=0; server {second.address} backup; }}
      server {{
        listen LISTEN; access_log ACCESS_LOG told; client_max_body_size 0; client_body_buffer_size 32m;
        location / {{ proxy_pass http://app; proxy_send_timeout 2s; }}
      }}
    """

    async def scene(visit: Visit) -> Any:
        slow, stuck = await visit.client(), await visit.client()
        slow.send(request("PUT", "/slow", body=bytes(size)))
        stuck.send(request("PUT", "/stuck", body=bytes(size)))
        bodies = [(await client.answer()).body for client in (slow, stuck)]
        return bodies, sorted(await visit.log(2))

    assert await alike(directory, text, scene) == ([b"%d" % size, b"b"], ["/slow 200", "/stuck 504, 200"])
    first.release.set()


async def test_a_connection_that_still_has_to_take_a_body_is_not_used_again(upstream: Start, directory: Path) -> None:
    async def refuse(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        if head.startswith(b"GET"):
            writer.write(answer(b"ok"))
        else:
            writer.write(answer(b"no", "413 Too much"))
            await up.release.wait()  # and reads nothing of the body
            writer.close()

    server = await upstream("a", refuse)
    text = site(server, "client_max_body_size 0; client_body_buffer_size 32m; proxy_set_header Connection '';")
    text = text.replace("max_conns=1;", "; keepalive 4;")

    async def scene(visit: Visit) -> Any:
        client = await visit.client()
        client.send(request("PUT", "/off", body=bytes(16 << 20)))
        statuses = [(await client.answer()).status]
        client = await visit.client()
        return [*statuses, (await client.get("/off")).status]

    assert await alike(directory, text, scene) == [413, 200]
    server.release.set()


BROKEN = [
    (request("GET", "/ahead/16-12"), "end"),
    (request("GET", "/ahead/16-12", "Connection: close"), "end"),
    (b"GET /ahead/16-12 HTTP/1.0\r\n\r\n", "end"),
]
"""The client can tell by the length that something is missing."""


async def test_what_came_before_an_upstream_died_reaches_slow_clients(upstream: Start, directory: Path) -> None:
    way = Large()
    server = await upstream("a", way)

    async def scene(visit: Visit) -> Any:
        seen = []
        for wire, _ in BROKEN:
            way.done.clear()
            client = stubborn(visit.front)
            client.send(wire)
            await eventually(lambda: way.done)
            count, end = await received(client)
            seen.append((12 << 20 < count < 13 << 20, end))
        return seen

    seen = await alike(directory, site(server).replace("max_conns=1", ""), scene, together=False)
    assert seen == [(True, end) for _, end in BROKEN]


async def test_an_answer_that_only_the_end_ends_is_reset_when_it_breaks_off(upstream: Start, directory: Path) -> None:
    """nginx closes, and the client takes what it has got for everything."""

    async def cut(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        writer.close()

    server = await upstream("a", cut)
    async with both(directory, site(server)) as (theirs, ours):
        ends = []
        for front in (theirs, ours):
            client = stubborn(front)
            client.send(b"GET /off HTTP/1.0\r\n\r\n")
            ends.append((await received(client))[1])
    assert ends == ["end", "reset"]
