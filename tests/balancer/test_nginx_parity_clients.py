"""What clients may do, by file, server and location, behind a real nginx and behind the balancer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.balancer.beside import Start, Visit, alike, play, received, site, stubborn
from tests.balancer.support import RawClient, Upstream, eventually, read_body, request
from tests.balancer.test_nginx_parity import both, upstream_block
from tests.balancer.test_nginx_parity import directory as directory

LARGE = 8 << 20


async def told(client: RawClient, path: str) -> tuple[int, str, str | None]:
    """The status, whether the connection stays, and for how long that is said to be."""
    got = await client.get(path)
    return got.status, got.fields.get("connection", "keep-alive"), got.fields.get("keep-alive")


async def test_locations_decide_how_long_a_connection_stays(upstream: Start, directory: Path) -> None:
    text = site(
        await upstream("a"), "/ { }", "/three { keepalive_requests 3; }", "/off { keepalive_timeout 0; }",
        "/told { keepalive_timeout 20s 15s; }", "/once { keepalive_requests 1; }",
        more="keepalive_requests 5; location /answer { keepalive_timeout 9 8; return 404; "
        "location /answer/as { keepalive_timeout 70; return 404; } }",
    )  # fmt: skip

    async def scene(visit: Visit) -> Any:
        seen = []
        for paths in (["/", "/three", "/three"], ["/"] * 5, ["/off"], ["/", "/told", "/off"], ["/told"], ["/once"],
                      ["/answer", "/answer"], ["/answer/as"]):  # fmt: skip
            client = await visit.client()
            seen.append([await told(client, path) for path in paths])
            closes = seen[-1][-1][1] == "close"
            if closes:
                assert await client.rest() == b""
        return seen

    seen = await alike(directory, text, scene)
    assert [len(answers) for answers in seen] == [3, 5, 1, 3, 1, 1, 2, 1]
    assert [answers[-1][1:] for answers in seen] == [
        *[("close", None)] * 4, ("keep-alive", "timeout=15"), ("close", None), *[("keep-alive", "timeout=8")] * 2,
    ]  # fmt: skip


async def test_a_connection_that_has_become_old_is_sent_away(upstream: Start, directory: Path) -> None:
    text = site(await upstream("a"), "/ { }", "/old { keepalive_time 400ms; }")

    async def scene(visit: Visit) -> Any:
        other, client = await visit.client(), await visit.client()
        while (await told(client, "/old"))[1] != "close":
            assert (await told(other, "/"))[1] == "keep-alive"
        return await told(other, "/"), await told(other, "/old")

    seen = await alike(directory, text, scene)
    assert [connection for _, connection, _ in seen] == ["keep-alive", "close"]


async def test_an_idle_client_is_let_go_after_the_time_of_where_it_was_last(upstream: Start, directory: Path) -> None:
    text = site(await upstream("a"), "/ { }", "/soon { keepalive_timeout 300ms; }", more="keepalive_timeout 60s;")

    async def scene(visit: Visit) -> Any:
        patient, short = await visit.client(), await visit.client()
        await patient.get("/soon")
        await patient.get("/")
        await short.get("/")
        await short.get("/soon")
        assert await short.rest() == b""
        return (await patient.get("/")).status

    assert await alike(directory, text, scene) == 200


async def test_bodies_have_the_time_of_their_location(upstream: Start, directory: Path) -> None:
    text = site(await upstream("a"), "/ { }", "/soon { client_body_timeout 300ms; }", more="client_body_timeout 60s;")

    async def scene(visit: Visit) -> Any:
        slow, soon = await visit.client(), await visit.client()
        for client, path in ((slow, "/"), (soon, "/soon")):
            client.send(request("POST", path, "Content-Length: 2") + b"x")
        await soon.rest()
        slow.send(b"y")
        return (await slow.answer()).status

    assert await alike(directory, text, scene) == 200


async def test_heads_have_the_time_of_the_default_server(upstream: Start, directory: Path) -> None:
    server = await upstream("a")
    text = upstream_block([server], [""])
    for name, time in (("soon", "300ms"), ("late", "60s")):
        text += f"server {{ listen LISTEN; server_name {name}; client_header_timeout {time}; "
        text += "location / { proxy_pass http://app; } }"

    async def scene(visit: Visit) -> Any:
        client = await visit.client()
        client.send(b"GET / HTTP/1.1\r\nHost: late\r\n")
        await client.rest()
        return "closed"

    assert await alike(directory, text, scene) == "closed"


async def test_longest_lines_are_those_of_the_default_server(upstream: Start, directory: Path) -> None:
    server = await upstream("a")
    text = upstream_block([server], [""])
    for name, size in (("short", "4 1k"), ("long", "4 8k")):
        text += f"server {{ listen LISTEN; server_name {name}; large_client_header_buffers {size}; "
        text += "client_header_buffer_size 1k; location / { proxy_pass http://app; } }"

    async def scene(visit: Visit) -> Any:
        wires = [b"GET /%b HTTP/1.1\r\nHost: long\r\n\r\n" % (b"x" * length) for length in (500, 2000)]
        return [(await visit.front.send(wire)).status for wire in wires]

    assert await alike(directory, text, scene) == [200, 414]


async def flood(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
    await read_body(up, reader, head)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE + bytes(LARGE))


@pytest.mark.parametrize("reset", ["on", "off"])
async def test_a_client_that_stops_reading_is_given_up_after_the_time_of_its_location(
    upstream: Start, directory: Path, reset: str
) -> None:
    gone: list[str] = []

    async def watched(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        await flood(up, reader, writer, head)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        gone.append(head.split(b" ")[1].decode())

    text = site(
        await upstream("a", watched), "/ { }", "/soon { send_timeout 300ms; }",
        more=f"reset_timedout_connection {reset}; send_timeout 60s; proxy_max_temp_file_size 0;",
    )  # fmt: skip

    async def scene(visit: Visit) -> Any:
        client, patient = stubborn(visit.front), stubborn(visit.front)
        client.send(request("GET", "/soon"))
        patient.send(request("GET", "/", "Connection: close"))
        await eventually(lambda: "/soon" in gone)
        count, end = await received(client)
        assert 0 < count < LARGE
        whole, _ = await received(patient)
        return end, whole > LARGE

    async with both(directory, text) as fronts:
        seen = []
        for front in fronts:
            gone.clear()
            seen.append(await play(front, scene))
    assert seen[0] == seen[1] == ("reset" if reset == "on" else "end", True)


@pytest.mark.parametrize(("lingering", "listens"), [("off", False), ("on", False), ("always", True)])
async def test_who_lingers_after_the_last_answer(
    upstream: Start, directory: Path, lingering: str, listens: bool
) -> None:
    text = site(await upstream("a"), "/ { }", more=f"lingering_close {lingering}; lingering_timeout 20s;")

    async def scene(visit: Visit) -> Any:
        loop = asyncio.get_running_loop()
        with socket.create_connection(("127.0.0.1", visit.front.port)) as client:
            client.setblocking(False)
            client.send(request("GET", "/", "Connection: close"))
            while await loop.sock_recv(client, 1 << 16):
                pass
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for _ in range(20):  # who does not listen refuses at once
                    client.send(b"more")
                    await asyncio.sleep(0.01)
                return "listens"
            return "closed"

    assert await alike(directory, text, scene) == ("listens" if listens else "closed")


async def test_lingering_ends_with_silence_or_when_its_time_is_up(upstream: Start, directory: Path) -> None:
    text = site(
        await upstream("a"), "/silence { lingering_timeout 300ms; }", "/time { lingering_time 1s; }",
        more="lingering_close always; lingering_timeout 60s; lingering_time 60s;",
    )  # fmt: skip

    async def scene(visit: Visit) -> Any:
        """Who only goes on talking where the whole time is bounded is refused sooner or later."""
        silent, talking = await visit.client(), await visit.client()
        silent.send(request("GET", "/silence", "Connection: close"))
        talking.send(request("GET", "/time", "Connection: close"))
        await asyncio.gather(silent.rest(), talking.rest())
        await eventually(lambda: refused(talking))
        await eventually(lambda: refused(silent))

    await alike(directory, text, scene)


def refused(client: RawClient) -> bool:
    """Say more; true when the other end does not listen."""
    client.send(b"more")
    return client.writer.transport.is_closing()


STATUSES = (200, 204, 301, 400, 403, 404, 405, 410, 413, 414, 429, 500, 501, 502, 503, 504)
BODIES = {
    "GET": request("GET", "PATH"),
    "POST": request("POST", "PATH", body=b"four"),
    "chunks": request("POST", "PATH", "Transfer-Encoding: chunked") + b"4\r\nfour\r\n0\r\n\r\n",
}


async def test_own_answers_keep_or_end_the_connection_alike(upstream: Start, directory: Path) -> None:
    server, dead = await upstream("a"), await upstream("dead")
    await dead.stop()
    text = upstream_block([server], [""]) + f"upstream dead {{ server {dead.address}; }} server {{ listen LISTEN; "
    text += " ".join(f"location = /{status} {{ return {status}; }}" for status in STATUSES)
    text += """
      location = /text { return 500 text; }
      location = /page { error_page 500 404 /said; error_page 501 =200 /said; return 404; }
      location = /other { error_page 501 =200 /said; return 501; }
      location = /said { return 200 said; }
      location = /deny { deny all; proxy_pass http://app; }
      location = /big { client_max_body_size 2; proxy_pass http://app; }
      location = /dead { proxy_pass http://dead; }
      location / { proxy_pass http://app; }
    }"""
    paths = [*(f"/{status}" for status in STATUSES), "/text", "/page", "/other", "/said", "/deny", "/big", "/dead"]

    async def outcome(visit: Visit, wire: bytes) -> tuple[int, str, bytes]:
        """The status, whether the connection stays, and what comes of a request that follows at once."""
        client = await visit.client()
        client.send(wire + request("GET", "/next"))
        got = await client.answer()
        stays = got.fields.get("connection", "keep-alive")
        return got.status, stays, await client.rest() if stays == "close" else (await client.answer()).body

    async def scene(visit: Visit) -> Any:
        return {f"{name} {path}": await outcome(visit, wire.replace(b"PATH", path.encode(), 1))
                for name, wire in BODIES.items() for path in paths}  # fmt: skip

    await alike(directory, text, scene, together=False)


async def test_clients_whose_body_is_still_coming_are_listened_to_after_an_own_answer(
    upstream: Start, directory: Path
) -> None:
    """Closing would be a reset, which may overtake the answer. nginx goes on with the connection; here it ends."""
    text = site(await upstream("a"), more="location /deny { deny all; proxy_pass http://app; }")

    async def scene(visit: Visit) -> Any:
        client = await visit.client()
        client.send(request("POST", "/deny", "Content-Length: 500000"))
        await client.reader.readuntil(b"</html>")
        for _ in range(20):  # who does not listen refuses at once
            await asyncio.sleep(0.01)
            if refused(client):
                return "closed"
        return "listens"

    assert await alike(directory, text, scene) == "listens"
