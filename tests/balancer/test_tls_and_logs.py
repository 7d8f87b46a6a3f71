"""TLS termination with names, redirects from plain HTTP, and the access log."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from services.balancer.config import read_plan
from services.balancer.plane.tls import server_context
from services.balancer.server import Balancer
from services.balancer.settings import Settings
from services.balancer.site import build
from services.common import logs
from tests.balancer.support import RawClient, Upstream, eventually, fields_of, request, running, settings_for

Start = Callable[..., Awaitable[Upstream]]
T = TypeVar("T")


CONF = """
events {{}}
http {{
  upstream app {{ server {address}; }}
  server {{ listen 127.0.0.1:0; return 301 https://$host$request_uri; }}
  server {{
    listen localhost:0 ssl; server_name one.example; ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate {folder}/one.example.pem; ssl_certificate_key {folder}/one.example.key;
    location / {{ proxy_pass http://app; proxy_set_header X-Forwarded-Proto $scheme; }}
  }}
  server {{
    listen localhost:0 ssl; server_name two.example;
    ssl_certificate {folder}/two.example.pem; ssl_certificate_key {folder}/two.example.key;
    location / {{ return 200 two; }}
  }}
}}
"""


def test_sessions_are_not_resumed_where_tickets_are_off(certificates: Path, tmp_path: Path) -> None:
    path = tmp_path / "tls.conf"
    text = CONF.format(address="127.0.0.1:1", folder=certificates)
    path.write_text(text.replace("server_name one.example;", "server_name one.example; ssl_session_tickets off;"))
    [listener] = [listener for listener in read_plan(path).listeners.values() if listener.tls]
    off = server_context(listener)
    assert (off.num_tickets, off.options & ssl.OP_NO_TICKET) == (0, ssl.OP_NO_TICKET)
    path.write_text(text)
    [listener] = [listener for listener in read_plan(path).listeners.values() if listener.tls]
    assert server_context(listener).num_tickets


async def test_tls_is_terminated_with_the_certificate_asked_for(
    upstream: Start, certificates: Path, tmp_path: Path
) -> None:
    server = await upstream("a")
    path = tmp_path / "tls.conf"
    path.write_text(CONF.format(address=server.address, folder=certificates))
    balancer = Balancer(read_plan(path), logs.get("balancer"))
    await balancer.start()
    try:
        for name, body in (("one.example", b"a"), ("two.example", b"two")):
            context = ssl.create_default_context(cafile=str(certificates / f"{name}.pem"))
            port = balancer.ports["localhost:0"]
            pair = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
            client = RawClient(*pair)
            client.send(request("GET", "/").replace(b"example.org", name.encode()))
            assert (await client.answer()).body == body
            client.writer.transport.abort()
        assert fields_of(server.heads[0])["x-forwarded-proto"] == "https"
        client = RawClient(*await asyncio.open_connection("127.0.0.1", balancer.ports["127.0.0.1:0"]))
        got = await client.get("/x?y=1")
        assert (got.status, got.fields["location"]) == (301, "https://example.org/x?y=1")
        client.writer.transport.abort()
    finally:
        await balancer.stop(grace_s=0.2)


async def test_a_reload_takes_certificates_that_were_renewed(
    upstream: Start, certificates: Path, tmp_path: Path
) -> None:
    renewed = {kind: tmp_path / f"renewed.{kind}" for kind in ("pem", "key")}

    def renew(name: str) -> None:
        for kind, path in renewed.items():
            shutil.copy(certificates / f"{name}.{kind}", path)

    async def visit(name: str) -> RawClient:
        context = ssl.create_default_context(cafile=str(certificates / f"{name}.pem"))
        client = RawClient(*await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name))
        assert (await client.get()).body == b"a"
        return client

    renew("one.example")
    settings = settings_for([await upstream("a")], tls={"certificate": str(renewed["pem"]), "key": str(renewed["key"])})
    async with running(settings) as balancer:
        port = balancer.port
        before = await visit("one.example")
        renew("two.example")
        await balancer.balancer.reload(build(settings))
        after = await visit("two.example")
        assert (await before.get()).body == b"a", "who is there stays"
        for client in (before, after):
            client.writer.transport.abort()


async def test_who_is_in_the_middle_of_a_handshake_is_served_before_the_end(
    upstream: Start, certificates: Path
) -> None:
    files = {"certificate": str(certificates / "one.example.pem"), "key": str(certificates / "one.example.key")}
    balancer = Balancer(build(settings_for([await upstream("a")], tls=files)), logs.get("balancer"))
    await balancer.start()
    context = ssl.create_default_context(cafile=files["certificate"])
    from_server, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(from_server, to_server, server_hostname="one.example")
    reader, writer = await asyncio.open_connection("127.0.0.1", *balancer.ports.values())

    async def talk() -> None:
        writer.write(to_server.read())
        data = await reader.read(1 << 16)
        from_server.write(data) if data else from_server.write_eof()

    async def done(what: Callable[[], T]) -> T:
        """What takes as much talking as it needs."""
        while True:
            try:
                return what()
            except ssl.SSLWantReadError:
                await talk()

    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    await talk()
    draining = asyncio.create_task(balancer.drain())
    await asyncio.wait([draining], timeout=0.1)
    await done(tls.do_handshake)
    tls.write(request("GET", "/"))
    assert (await done(lambda: tls.read(1 << 16))).endswith(b"\r\n\r\na")
    assert not draining.done()
    writer.transport.abort()
    await draining


async def test_large_answers_and_bodies_pass_through_tls(upstream: Start, certificates: Path) -> None:
    async def echo(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        from tests.balancer.support import answer, read_body

        await read_body(up, reader, head)
        writer.write(answer(up.bodies[-1]))

    server = await upstream("a", echo)
    tls = {"certificate": str(certificates / "one.example.pem"), "key": str(certificates / "one.example.key")}
    async with running(settings_for([server], tls=tls, location={"max_body_bytes": 0})) as balancer:
        context = ssl.create_default_context(cafile=tls["certificate"])
        pair = await asyncio.open_connection("127.0.0.1", balancer.port, ssl=context, server_hostname="one.example")
        client = RawClient(*pair)
        body = bytes(range(256)) * 12_000
        client.send(request("PUT", "/", body=body))
        assert (await client.answer()).body == body
        client.writer.transport.abort()


async def test_every_request_is_one_line_of_the_access_log(upstream: Start, tmp_path: Path) -> None:
    dead, alive = await upstream("dead"), await upstream("alive")
    await dead.stop()
    log = tmp_path / "access.log"
    form = '$remote_addr "$request" $status $body_bytes_sent [$upstream_addr] [$upstream_status] $request_time '
    form += '"$http_user_agent"'
    more = {"access_log": {"path": str(log), "format": form}}
    async with running(settings_for([dead, alive], **more)) as balancer:
        for n in range(3):
            await balancer.get(f"/{n}", 'User-Agent: a"b\x80')
        await eventually(lambda: log.exists() and log.read_text().count("\n") == 3)
    lines = log.read_text().splitlines()
    both = re.escape(f"[{dead.address}, {alive.address}] [502, 200]")
    assert re.fullmatch(rf'127\.0\.0\.1 "GET /0 HTTP/1\.1" 200 5 {both} \d+\.\d{{3}} "a\\x22b\\xC2\\x80"', lines[0]), (
        lines[0]
    )
    assert f"[{alive.address}] [200]" in lines[2]


def test_the_settings_schema_has_a_default_for_everything_but_addresses() -> None:
    minimal = {"listen": "h:1", "upstreams": {"a": {"servers": [{"address": "h:2"}]}}, "locations": [{"upstream": "a"}]}
    assert msgspec.convert(minimal, Settings).locations[0].next_upstream == ["error", "timeout"]
