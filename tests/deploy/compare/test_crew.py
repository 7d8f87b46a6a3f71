"""What a client meets at a web UI in each condition, and that every one of them heals."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.lab.compare.crew import Crew, Server
from deploy.lab.compare.faults import Condition
from deploy.lab.readiness import http_get

SOON_S = 0.4
TCP_CLOSE = b"\x07"
"""The state in linux/tcp_states.h of a connection that is no more."""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with Crew(tmp_path, service_s=0.01) as crew:
        yield crew.servers["ui1"]


async def meet(server: Server) -> str:
    """The status, or how it went wrong."""
    try:
        async with asyncio.timeout(SOON_S):
            _, writer = await asyncio.open_connection(*server.address)
    except TimeoutError:
        return "no connection"
    except ConnectionRefusedError:
        return "refused"
    writer.close()
    try:
        async with asyncio.timeout(SOON_S):
            return str((await http_get(server.address, "/page"))[0])
    except TimeoutError:
        return "no answer"


@pytest.mark.parametrize(
    ("condition", "met"),
    [
        (Condition.KILLED, "refused"),
        (Condition.STOPPED, "refused"),
        (Condition.REFUSES, "refused"),
        (Condition.PAUSED, "no answer"),
        (Condition.SILENT, "no connection"),
        (Condition.SLOW, "no answer"),
        (Condition.ERRORS, "500"),
        (Condition.BUSY, "200"),
    ],
)
async def test_each_condition_is_what_it_says_and_heals(condition: Condition, met: str, server: Server) -> None:
    await server.become(condition)
    during = await meet(server)
    await server.become(Condition.WELL)
    async with asyncio.timeout(20):
        while (after := await meet(server)) != "200":  # a resumed process works off what it was sent
            assert after in ("no answer", "no connection")

    assert during == met


async def test_a_server_counts_its_probes_over_all_its_lives(server: Server) -> None:
    for _ in range(2):
        await http_get(server.address, "/healthz")
    await server.become(Condition.KILLED)
    await server.become(Condition.WELL)
    await http_get(server.address, "/healthz")

    assert await server.probes() == 3


async def test_a_server_counts_its_processor_time_over_all_its_lives(server: Server) -> None:
    first = server.cpu_s()
    await server.become(Condition.KILLED)
    dead = server.cpu_s()
    await server.become(Condition.WELL)

    assert 0 < first <= dead < server.cpu_s()


async def test_what_was_sent_to_a_silent_server_is_not_sent_again_after_the_cure(server: Server) -> None:
    with socket.create_connection(server.address) as client:
        await server.become(Condition.SILENT)
        client.send(b"GET /page HTTP/1.1\r\n\r\n")
        await server.become(Condition.WELL)
        # The kernel sends the request once more, and hears that nobody is there.
        async with asyncio.timeout(20):
            while client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) != TCP_CLOSE:  # noqa: ASYNC110 (no event tells)
                await asyncio.sleep(0)
