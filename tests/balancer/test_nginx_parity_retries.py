"""Which servers a request tries, and which of them are charged, behind a real nginx and behind the balancer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.balancer.beside import Start, Visit, alike, plugged
from tests.balancer.support import Handler, Upstream, always, answer, eventually, request
from tests.balancer.test_nginx_parity import directory as directory
from tests.balancer.test_nginx_parity_traffic import slam


class Case(NamedTuple):
    """Servers by letter with their parameters, what the location says, and the requests made one after the other."""

    servers: str
    says: str = ""
    methods: tuple[str, ...] = ("GET",)


RETRIES = {
    "refused, then connecting too slowly": Case("R; P; K"),
    "fewer tries than servers": Case("R; P; K", "proxy_next_upstream_tries 2;"),
    "more tries than servers": Case("R; P", "proxy_next_upstream_tries 9;"),
    "the last failure decides the status": Case("P; R"),
    "one try": Case("R; K", "proxy_next_upstream_tries 1;", ("GET", "GET")),
    "only errors": Case("P; K", "proxy_next_upstream error;", ("GET", "GET")),
    "only time-outs": Case("R; K", "proxy_next_upstream timeout;", ("GET", "GET")),
    "nothing": Case("R; P; K", "proxy_next_upstream off;", ("GET",) * 3),
    "the time is up": Case("P; R; K", "proxy_next_upstream_timeout 100ms;"),
    "the time is up for another answer": Case("H; K", "proxy_next_upstream_timeout 100ms;", ("GET", "GET")),
    "the time is not up": Case("P; R; K", "proxy_next_upstream_timeout 20s;"),
    "no time limit": Case("P; Q; K", "proxy_next_upstream_timeout 0;"),
    "an answer too slow": Case("H; K", "", ("GET",)),
    "an answer to POST too slow": Case("H; K", "", ("POST", "POST")),
    "an answer to POST too slow, repeated": Case(
        "H; K", "proxy_next_upstream timeout non_idempotent;", ("POST", "POST")
    ),
    "POST that was not sent is repeated": Case("R; B; K", "", ("POST", "POST")),
    "LOCK and PATCH are as POST": Case("B max_fails=0; K", "", ("LOCK", "PATCH", "LOCK", "PATCH")),
    "PUT and DELETE are not": Case("B max_fails=0; K", "", ("PUT", "DELETE", "PUT", "DELETE")),
    "everything non_idempotent": Case(
        "B; C max_fails=0; K", "proxy_next_upstream error non_idempotent;", ("POST",) * 3
    ),
    "429": Case("N; K", "proxy_next_upstream http_429;", ("GET",) * 3),
    "429 to POST": Case("N; K", "proxy_next_upstream http_429;", ("POST",) * 3),
    "429 to POST, repeated": Case("N; K", "proxy_next_upstream http_429 non_idempotent;", ("POST",) * 3),
    "403 and 404 charge nobody": Case("F; G; K", "proxy_next_upstream http_403 http_404;", ("GET",) * 4),
    "403 and 404 of all": Case("F; G", "proxy_next_upstream http_403 http_404;", ("GET",) * 3),
    "404 that is not listed": Case("F; G", "proxy_next_upstream error http_403;", ("GET",) * 3),
    "500 of all": Case("E; D", "proxy_next_upstream http_500;", ("GET",) * 3),
    "502 and 504 that upstreams say": Case("U; V; K", "proxy_next_upstream http_502 http_504;", ("GET",) * 3),
    "503, time-outs and errors": Case("S; H; R; K", "proxy_next_upstream error timeout http_503;", ("GET",) * 2),
    "503 with one try": Case("S; K", "proxy_next_upstream http_503; proxy_next_upstream_tries 1;", ("GET",) * 3),
    "503 counts": Case("S max_fails=2; K", "proxy_next_upstream http_503;", ("GET",) * 8),
    "invalid heads": Case("I; K", "proxy_next_upstream invalid_header;", ("GET",) * 3),
    "invalid heads that are not listed": Case("I; K", "", ("GET",) * 3),
    "nobody is left": Case("R; B", "", ("GET",) * 3),
    "servers marked down make no tries": Case("R; K down", "", ("GET",) * 2),
    "nobody but who is marked down": Case("K down; L down"),
    "backups": Case("R; S backup; K backup", "", ("GET",) * 4),
    "backups, by status": Case("S; R backup; K backup", "proxy_next_upstream error http_503;", ("GET",) * 4),
    "backups and tries": Case("R; K backup", "proxy_next_upstream_tries 1;", ("GET",) * 3),
    "the only server": Case("R", "", ("GET",) * 2),
    "the only server, slow": Case("H", "", ("GET",)),
    "the only server says 503": Case("S", "proxy_next_upstream http_503;", ("GET",) * 2),
    "the only server but for one marked down": Case("S; K down", "proxy_next_upstream http_503;", ("GET",) * 3),
    "two failures": Case("R max_fails=2; K", "", ("GET",) * 8),
    "weights after failures": Case("R max_fails=3 weight=3; K weight=2; L weight=1", "", ("GET",) * 12),
    "least connections": Case("least_conn; R; B; K", "", ("GET",) * 4),
    "hash": Case("hash $request_uri; R; B; K", "", ("GET",) * 4),
    "hash on a ring": Case("hash $request_uri consistent; R; B; K", "", ("GET",) * 4),
    "by address": Case("ip_hash; R; B; K", "", ("GET",) * 4),
}
"""P and Q take no connections, R refuses them, B and C break them, H says nothing, I nonsense, K and L their names; the
others a status.
"""
PATIENCE = {"P": "proxy_connect_timeout 1500ms; ", "H": "proxy_read_timeout 1500ms; "}
STATUSES = {"N": 429, "F": 404, "G": 403, "E": 500, "D": 500, "U": 502, "V": 504, "S": 503}


async def hold(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        await reader.read()


@pytest.fixture
async def servers(upstream: Start) -> AsyncIterator[dict[str, str]]:
    """Addresses by letter."""
    ways: dict[str, Handler | None] = {
        **{letter: always(answer(b"!", f"{status} Status")) for letter, status in STATUSES.items()},
        "B": slam, "C": slam, "H": hold, "K": None, "L": None, "R": None,
        "I": always(b"HTTP/1.1 200 OK\r\nX\0: y\r\n\r\n", close=True),
    }  # fmt: skip
    found = {letter: await upstream(letter, way) for letter, way in ways.items()}
    await found["R"].stop()
    with plugged() as first, plugged() as second:
        yield {letter: server.address for letter, server in found.items()} | {"P": first, "Q": second}


def written(addresses: dict[str, str]) -> str:
    """One group and one location for each case."""
    groups, locations = "", ""
    for number, case in enumerate(RETRIES.values()):
        lines = []
        for part in case.servers.split("; "):
            letter, _, parameters = part.partition(" ")
            known = letter in addresses
            lines.append(f"server {addresses[letter]} fail_timeout=60 {parameters};" if known else f"{part};")
        groups += f"upstream u{number} {{ {' '.join(lines)} }}\n"
        patience = "".join(limit for letter, limit in PATIENCE.items() if letter in case.servers)
        locations += f"location = /{number} {{ proxy_pass http://u{number}; {patience} {case.says} }}\n"
    return f"""
      log_format told '$uri [$upstream_addr] [$upstream_status] $status';
      {groups}
      server {{
        listen LISTEN; access_log ACCESS_LOG told;
        {locations}
      }}
    """


async def test_servers_are_tried_and_charged_alike(servers: dict[str, str], directory: Path) -> None:
    count = sum(len(case.methods) for case in RETRIES.values())

    async def play(visit: Visit, number: int, case: Case) -> list[int]:
        return [(await visit.front.send(request(method, f"/{number}", body=b"x"))).status for method in case.methods]

    async def scene(visit: Visit) -> Any:
        """Cases at the same time: each has its own group, and most of the time is spent waiting."""
        statuses = await asyncio.gather(*[play(visit, number, case) for number, case in enumerate(RETRIES.values())])
        logged: dict[str, list[str]] = {name: [] for name in RETRIES}
        names = list(RETRIES)
        for line in await visit.log(count):
            path, _, tried = line.partition(" ")
            for letter, address in servers.items():
                tried = tried.replace(address, letter)
            logged[names[int(path[1:])]].append(tried)
        return {name: (said, tries) for said, (name, tries) in zip(statuses, logged.items(), strict=True)}

    await alike(directory, written(servers), scene)


async def test_failures_are_forgotten_alike(upstream: Start, directory: Path) -> None:
    """A success clears failures only when it comes more than fail_timeout after the last one: that is a quiet period."""

    async def moody(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        if b" /fail " in head:
            writer.transport.abort()
        else:
            writer.write(answer(up.name.encode()))

    first, second = await upstream("a", moody), await upstream("b")
    text = f"""
      log_format told '[$upstream_addr]';
      upstream app {{ server {first.address} max_fails=2 fail_timeout=1; server {second.address} backup; }}
      server {{ listen LISTEN; access_log ACCESS_LOG told; location / {{ proxy_pass http://app; }} }}
    """

    async def scene(visit: Visit) -> Any:
        paths = ["/fail", "/ok", "/later", "/fail", "/ok", "/fail", "/ok"]
        for path in paths:
            if path == "/later":
                await asyncio.sleep(2.1)  # fail_timeout is real time, in nginx too, and in whole seconds
            await visit.front.send(request("GET", path))
        log = await visit.log(len(paths))
        return [line.replace(first.address, "a").replace(second.address, "b") for line in log]

    assert await alike(directory, text, scene) == ["[a, b]", "[a]", "[a]", "[a, b]", "[a]", "[a, b]", "[b]"]


async def test_a_body_that_is_passed_on_as_it_comes_is_sent_once(upstream: Start, directory: Path) -> None:
    """It goes to another server only if nothing of it has gone anywhere."""

    async def slam_late(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        await reader.readexactly(2)
        writer.transport.abort()

    async def refuse(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.write(answer(b"!", "503 Status"))
        await reader.read()

    ways: dict[str, Handler | None] = {"R": None, "B": slam_late, "S": refuse, "K": None}
    found = {letter: await upstream(letter, way) for letter, way in ways.items()}
    await found["R"].stop()
    addresses = {letter: server.address for letter, server in found.items()}
    text, locations = "log_format told '$uri [$upstream_addr] [$upstream_status] $status'; ", ""
    for letter in "RBS":
        text += f"upstream {letter} {{ server {addresses[letter]}; server {addresses['K']} backup; }} "
        locations += f"location /{letter} {{ proxy_pass http://{letter}; }} "
    text += f"""server {{
      listen LISTEN; access_log ACCESS_LOG told; proxy_request_buffering off;
      proxy_next_upstream error timeout http_503 non_idempotent; {locations}
    }}"""

    async def ask(visit: Visit, letter: str) -> int:
        client = await visit.client()
        client.send(request("PUT", f"/{letter}", "Content-Length: 4") + b"ab")
        if letter == "R":
            await eventually(lambda: found["K"].heads)
            client.send(b"cd")
        status = (await client.answer()).status
        client.writer.transport.abort()  # nginx logs when it does not wait for the body any more
        return status

    async def scene(visit: Visit) -> Any:
        found["K"].heads.clear()
        statuses = [await ask(visit, letter) for letter in "RBS"]
        log = "\n".join(await visit.log(3))
        for letter, address in addresses.items():
            log = log.replace(address, letter)
        return statuses, log.splitlines()

    statuses, log = await alike(directory, text, scene, together=False)
    assert statuses == [200, 502, 503]
    assert log == ["/R [R, K] [502, 200] 200", "/B [B] [502] 502", "/S [S] [503] 503"]
