"""HTTPS to upstreams: requests and checks by TLS, names sent and certificates verified only when asked for."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.balancer.config import read_plan
from services.common.settings import SettingsError
from tests.balancer.support import Upstream, answer, eventually, fields_of, read_body, request, running, settings_for
from tests.balancer.test_nginx_parity import both
from tests.balancer.test_nginx_parity import directory as directory


class Secured(Upstream):
    """An upstream that speaks TLS and notes the names it was asked for."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name)
        self.names: list[str | None] = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
        self._context.sni_callback = lambda _, asked, __: self.names.append(asked)

    async def start(self, port: int = 0) -> Secured:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self


@pytest.fixture
async def secured(certificates: Path) -> AsyncIterator[Secured]:
    server = await Secured("one.example", certificates).start()
    yield server
    await server.stop()


def tls(folder: Path, **more: Any) -> dict[str, Any]:
    return {"tls": {"trusted": str(folder / "one.example.pem"), **more}}


@pytest.mark.parametrize(
    ("more", "status", "sent"),
    [
        ({}, 200, None),
        ({"send_name": True}, 200, "app"),
        ({"send_name": True, "name": "other"}, 200, "other"),
        ({"verify": True, "name": "one.example"}, 200, "one.example"),
        ({"verify": True}, 502, "app"),
        ({"protocols": ["TLSv1.2"]}, 200, None),
    ],
)
async def test_names_and_certificates(
    secured: Secured, certificates: Path, more: dict[str, Any], status: int, sent: str | None
) -> None:
    settings = settings_for([secured], group=tls(certificates, **more), server={"max_fails": 0})
    async with running(settings) as balancer:
        for _ in range(3):
            assert (await balancer.get()).status == status
        assert set(secured.names) == {sent}
        if status == 200:
            assert secured.connections == 1, "connections are kept"


async def test_a_certificate_of_nobody_we_trust_is_refused(secured: Secured, certificates: Path) -> None:
    more = {"tls": {"verify": True, "name": "one.example", "trusted": str(certificates / "two.example.pem")}}
    async with running(settings_for([secured], group=more)) as balancer:
        assert (await balancer.get()).status == 502


async def test_large_bodies_pass_both_ways(secured: Secured, certificates: Path) -> None:
    async def echo(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        await read_body(up, reader, head)
        writer.write(answer(up.bodies[-1]))

    secured._handler = echo
    body = bytes(range(256)) * 12_000
    async with running(settings_for([secured], group=tls(certificates), location={"max_body_bytes": 0})) as balancer:
        client = await balancer.client()
        client.send(request("PUT", "/", body=body))
        assert (await client.answer()).body == body


async def test_checks_go_the_same_way(secured: Secured, certificates: Path) -> None:
    check = {"health_check": {"interval_s": 0.05, "mandatory": True}}
    good, bad = {**tls(certificates, verify=True, name="one.example"), **check}, {**tls(certificates, verify=True), **check}
    async with running(settings_for([secured], group=good)) as balancer:
        await eventually(lambda: balancer.peer(0).verdict == "healthy")
        assert (await balancer.get()).status == 200
    async with running(settings_for([secured], group=bad)) as balancer:
        await eventually(lambda: balancer.peer(0).verdict == "unhealthy")
        assert "TLS" in balancer.peer(0).stats.last_check_note


@pytest.mark.parametrize(
    "proxy",
    ["", "proxy_ssl_server_name on;", "proxy_ssl_server_name on; proxy_ssl_name one.example;",
     "proxy_ssl_verify on; proxy_ssl_name one.example; proxy_ssl_server_name on;",
     "proxy_ssl_verify on; proxy_ssl_server_name on;"],
)  # fmt: skip
async def test_nginx_does_the_same(secured: Secured, certificates: Path, directory: Path, proxy: str) -> None:
    text = f"upstream app {{ server {secured.address}; }} server {{ listen LISTEN; location / {{ proxy_pass https://app; "
    text += f"proxy_ssl_trusted_certificate {certificates}/one.example.pem; proxy_redirect off; {proxy} }} }}"
    async with both(directory, text) as fronts:
        seen = []
        for front in fronts:
            secured.names.clear()
            secured.heads.clear()
            got = await front.send(request("GET", "/"))
            seen.append((got.status, secured.names, [fields_of(head)["host"] for head in secured.heads]))
            secured.names = []
        assert seen[0] == seen[1]


def test_files_that_are_missing_are_named_when_the_settings_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "site.conf"
    path.write_text("""events {} http { server {
      listen 127.0.0.1:1 ssl; ssl_certificate /none.pem; ssl_certificate_key /none.key;
      location / { proxy_pass https://127.0.0.1:2; proxy_ssl_trusted_certificate /none-too.pem; }
    } }""")
    with pytest.raises(SettingsError) as caught:
        read_plan(path)
    assert "/none-too.pem" in str(caught.value) and "/none.pem" in str(caught.value)
