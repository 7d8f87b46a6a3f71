"""Which server is chosen, behind a real nginx and behind the balancer: by chance, key and address, and within limits."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from tests.balancer.beside import Start, Visit, alike
from tests.balancer.support import Answer, RawClient, Upstream, answer, eventually, request
from tests.balancer.test_nginx_parity import balancer, nginx, upstream_block
from tests.balancer.test_nginx_parity import directory as directory
from tests.support.ports import free_port

DRAWS = 420
SIGMAS = 6  # a fair draw is further off once in 500 million runs


@pytest.mark.parametrize("method", ["random", "random two least_conn"])
async def test_chance_is_spread_by_weight_alike(upstream: Start, directory: Path, method: str) -> None:
    """Of two that are idle the one drawn second is taken, which makes the heavy server rare: a sure sign of the rule."""
    weights = {"a": 5, "b": 1, "c": 1}
    servers = [await upstream(name) for name in weights]
    text = upstream_block(servers, [f"weight={weight}" for weight in weights.values()], f"{method};")
    text += "server { listen LISTEN; keepalive_requests 10000; location / { proxy_pass http://app; } }"
    expected = {name: weight / 7 for name, weight in weights.items()} if method == "random" else second_of_two(weights)

    async def scene(visit: Visit) -> Any:
        client = await visit.client()
        drawn = Counter([(await client.get()).body.decode() for _ in range(DRAWS)])
        return {name: within(drawn[name], share) for name, share in expected.items()}

    assert await alike(directory, text, scene) == dict.fromkeys(weights, True)


def second_of_two(weights: dict[str, int]) -> dict[str, float]:
    """The chance of each to be drawn second, when the first is not put back."""
    total = sum(weights.values())
    return {
        name: sum(other / total * weight / (total - other) for first, other in weights.items() if first != name)
        for name, weight in weights.items()
    }


def within(count: int, share: float) -> bool:
    return abs(count - DRAWS * share) <= SIGMAS * (DRAWS * share * (1 - share)) ** 0.5


@pytest.mark.parametrize("method", ["hash $request_uri consistent", "hash $request_uri"])
async def test_hashed_requests_go_round_a_dead_server_alike(upstream: Start, directory: Path, method: str) -> None:
    """Which server comes next hangs on the key, too."""
    servers = [await upstream(name) for name in "abcde"]
    await servers[1].stop()
    await servers[3].stop()
    parameters = ["weight=2", "weight=3 max_fails=0", "down", "max_fails=0", "weight=2"]
    text = "log_format told '$upstream_addr'; " + upstream_block(servers, parameters, f"{method};")
    text += "server { listen LISTEN; access_log ACCESS_LOG told; location / { proxy_pass http://app; } }"

    async def scene(visit: Visit) -> Any:
        client = await visit.client()
        for number in range(120):
            await client.get(f"/page/{number}")
        return await visit.log(120)

    tried = await alike(directory, text, scene)
    assert len({line.count(",") for line in tried}) == 3, "some keys meet both dead servers, some one, some none"


async def test_addresses_are_hashed_alike(upstream: Start, directory: Path) -> None:
    """All of an IPv6 address counts, of an IPv4 address three parts."""
    servers = [await upstream(name) for name in "abcde"]
    groups = [(f"w{first}{second}", (first, second)) for first, second in combinations(range(1, 6), 2)]
    text = ""
    for name, (first, second) in groups:
        lines = [f"server {server.address} weight={weight};"
                 for server, weight in zip(servers, (first, 1, second, 2, 1), strict=True)]  # fmt: skip
        text += f"upstream {name} {{ ip_hash; {' '.join(lines)} }} "
    text += "server { listen LISTEN; listen [::1]:SIX; "
    text += " ".join(f"location /{name} {{ proxy_pass http://{name}; }}" for name, _ in groups) + " }"
    sources = ["127.0.0.9", "127.1.2.3", "127.1.2.4", "127.9.200.77", "127.255.255.254", "127.77.0.5"]

    async def chosen(port: int, six: int) -> list[str]:
        seen = []
        for host, source, at in [("::1", "::1", six), *(("127.0.0.1", source, port) for source in sources)]:
            client = RawClient(*await asyncio.open_connection(host, at, local_addr=(source, 0)))
            seen.append("".join([(await client.get(f"/{name}")).body.decode() for name, _ in groups]))
            client.writer.transport.abort()
        return seen

    first, second = free_port(), free_port()
    async with nginx(directory, text.replace("SIX", str(first))) as theirs:
        expected = await chosen(theirs.port, first)
    async with balancer(directory, text.replace("SIX", str(second))) as ours:
        assert await chosen(ours.port, second) == expected
    assert expected[2] == expected[3] and len(set(expected)) == len(expected) - 1


LIMITED = {
    "limits and weights": ("", ["max_conns=1 weight=3", "max_conns=3", "weight=2 max_conns=2"]),
    "limits by connections": ("least_conn;", ["max_conns=1 weight=3", "max_conns=3", "weight=2 max_conns=2"]),
    "backups with limits": ("", ["max_conns=2", "max_conns=1 backup", "max_conns=1 backup weight=2"]),
    "backups by connections": ("least_conn;", ["max_conns=1", "max_conns=2 backup", "backup max_conns=2 weight=2"]),
    "down and limits": ("least_conn;", ["down", "max_conns=2", "max_conns=2 weight=3"]),
    "down and backups": ("", ["down", "max_conns=1", "max_conns=3 backup"]),
    "the only one up": ("", ["down", "down", "max_conns=3"]),
    "hash and limits": ("hash $arg_key;", ["max_conns=1", "max_conns=2 weight=2", "max_conns=2"]),
    "ring and limits": ("hash $arg_key consistent;", ["max_conns=1", "max_conns=2 weight=2", "max_conns=2"]),
    "addresses and limits": ("ip_hash;", ["max_conns=2", "max_conns=2", "max_conns=2 down"]),
}  # fmt: skip
PLAY = ((), (), (), (0,), (), (), (1, 3), (), (), (2, 4, 5), (), (), (), (), ())
"""Requests that come one after the other and stay; before each, some of those that came earlier end."""


async def test_limits_hold_alike_while_requests_come_and_go(upstream: Start, directory: Path) -> None:
    waiting: dict[str, tuple[str, asyncio.Event]] = {}

    async def stay(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        end = asyncio.Event()
        waiting[head.split(b" ")[1].decode()] = up.name, end
        await end.wait()
        writer.write(answer(up.name.encode()))

    servers = [await upstream(name, stay) for name in "abc"]
    text = ""
    for number, (method, parameters) in enumerate(LIMITED.values()):
        text += upstream_block(servers, parameters, method).replace("upstream app", f"upstream u{number}")
    text += "server { listen LISTEN; "
    text += " ".join(f"location /{number} {{ proxy_pass http://u{number}; }}" for number in range(len(LIMITED))) + " }"

    async def scene(visit: Visit) -> Any:
        waiting.clear()
        return {name: await play(visit, number) for number, name in enumerate(LIMITED)}

    async def play(visit: Visit, number: int) -> str:
        """The servers that were chosen; a dash where there was none."""
        chosen = ""
        answers: dict[str, asyncio.Future[Answer]] = {}
        for came, ended in enumerate(PLAY):
            for path in [f"/{number}?key={earlier}" for earlier in ended]:
                if path in waiting:
                    waiting[path][1].set()
                    assert (await answers[path]).status == 200
            path = f"/{number}?key={came}"
            client = await visit.client()
            client.send(request("GET", path))
            answers[path] = asyncio.ensure_future(client.answer())
            await eventually(lambda path=path: path in waiting or answers[path].done())  # type: ignore[misc]
            chosen += waiting[path][0] if path in waiting else "-"
        for _, end in waiting.values():
            end.set()
        await asyncio.gather(*answers.values())
        return chosen

    chosen = await alike(directory, text, scene, together=False)
    assert all("-" in servers for servers in chosen.values())
