"""Never an answer to the wrong client: many clients of every temper while upstreams fail and return."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from tests.balancer.support import (
    Running,
    Upstream,
    answer,
    eventually,
    fields_of,
    read_body,
    request,
    running,
    settings_for,
)

pytestmark = pytest.mark.interpreted_too

Start = Callable[..., Awaitable[Upstream]]
CLIENTS = 24
REQUESTS = 25


def moody(seed: int) -> Callable[..., Awaitable[None]]:
    """An upstream that echoes the request's id in every framing there is, and sometimes breaks instead."""
    mood = random.Random(seed)

    async def handler(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        await read_body(up, reader, head)
        echo = fields_of(head)["x-id"].encode() * mood.choice((1, 1, 1, 3000))
        way = mood.randrange(10)
        if way == 0:
            writer.transport.abort()
        elif way == 1:
            writer.write(answer(echo + b"cut")[:-3])
            writer.close()
        elif way == 2:
            writer.write(answer(echo) + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nSTOLEN")
        elif way == 3:
            writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + echo)
            await writer.drain()
            writer.close()
        elif way in (4, 5):
            for part in (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"%x\r\n%b\r\n" % (len(echo), echo)):
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)
            writer.write(b"0\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * (way == 6) + answer(echo))

    return handler


async def client_life(balancer: Running, name: int, seen: list[int]) -> None:
    """Send requests one after the other or pipelined; every answer must echo this client's own ids."""
    mood = random.Random(name)
    client = await balancer.client()
    for n in range(REQUESTS):
        ids = [f"<{name}-{n}-{k}>" for k in range(mood.choice((1, 1, 3)))]
        for each in ids:
            body = b"b" * mood.choice((0, 10, 5000))
            client.send(request(mood.choice(("GET", "PUT", "POST")), "/", f"X-Id: {each}", body=body))
        try:
            if mood.random() < 0.1:
                raise ConnectionError("this client leaves early")
            for each in ids:
                while (got := await client.answer()).status == 103:
                    pass
                if got.status == 200:
                    assert got.body and got.body.replace(each.encode(), b"") == b"", (each, got.body[:80])
                    seen.append(n)
                else:
                    assert got.status in (502, 504), got.status
                if got.fields.get("connection") == "close":
                    raise ConnectionError("the answer was the last")
        except (ConnectionError, asyncio.IncompleteReadError):
            client.writer.transport.abort()
            client = await balancer.client()


async def test_answers_never_cross(upstream: Start) -> None:
    servers = [await upstream(name, moody(seed)) for seed, name in enumerate("abc")]
    settings = settings_for(servers, server={"max_fails": 0}, group={"keepalive": {"connections": 4}})
    seen: list[int] = []
    async with running(settings) as balancer:
        async with asyncio.TaskGroup() as clients:
            for name in range(CLIENTS):
                clients.create_task(client_life(balancer, name, seen))
        peers = balancer.balancer.engine.pools["app"].group.peers
        await eventually(lambda: [peer.conns for peer in peers] == [0, 0, 0])
    assert len(seen) > CLIENTS * REQUESTS // 2
