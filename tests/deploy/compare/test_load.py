from __future__ import annotations

import asyncio
import time
from collections import Counter

import pytest

from deploy.lab.compare.history import Outcome
from deploy.lab.compare.load import FORM, Answer, Load, Order, Users, read_head, request_of
from deploy.lab.compare.schedule import Arrival
from services.common.settings import Address

PATIENCE_S = 10.0


@pytest.mark.parametrize(
    ("head", "answer"),
    [
        (b"HTTP/1.1 200 OK\r\nX-Served-By: ui1\r\nContent-Length: 2\r\n\r\n", Answer(200, "ui1", 2, True)),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nConnection: Close\r\n\r\n", Answer(200, "", 5, False)),
        (b"HTTP/1.0 503 Service Unavailable\r\n\r\n", Answer(503, "", None, False)),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", Answer(502, "", None, True)),
        (b"nonsense\r\n\r\n", Answer()),
    ],
)
def test_a_head_tells_status_server_length_and_whether_the_connection_stays(head: bytes, answer: Answer) -> None:
    assert read_head(head) == answer


def test_a_post_carries_a_form_and_a_get_nothing() -> None:
    assert request_of(Arrival(0, "POST", True)).endswith(b"\r\n\r\n" + FORM)
    assert request_of(Arrival(0, "GET", False)).endswith(b"Connection: close\r\n\r\n")


class Site:
    """A server that answers as the path of its `answers` says, and counts connections."""

    def __init__(self, *answers: bytes) -> None:
        self.answers, self.connections, self.requests = list(answers), 0, Counter[str]()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.requests[head.split()[0].decode()] += 1
                if head.startswith(b"POST"):
                    await reader.readexactly(len(FORM))
                answer = self.answers[min(self.requests.total(), len(self.answers)) - 1]
                writer.write(answer)
                if b"Content-Length: 9\r\n" in answer or not answer:
                    break
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


OK = b"HTTP/1.1 200 OK\r\nX-Served-By: ui1\r\nContent-Length: 2\r\n\r\nhi"
CUT_OFF = b"HTTP/1.1 200 OK\r\nX-Served-By: ui1\r\nContent-Length: 9\r\n\r\nhi"
REFUSAL = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"


async def fates(site: Site, *due: Arrival, patience_s: float = PATIENCE_S) -> list[tuple[int, str, Outcome]]:
    """What the load's own process says of requests to the site."""
    async with await asyncio.start_server(site.serve, "127.0.0.1", 0) as server, Load() as load:
        order = Order(*server.sockets[0].getsockname(), time.monotonic() + 0.5, due, 5.0, patience_s)
        seen = await load.send(order)
    assert [request.due_s for request in seen] == [arrival.at_s for arrival in due]
    assert all(request.due_s - 1e-6 < request.sent_s < request.due_s + request.latency_s for request in seen)
    return [(request.status, request.server, request.outcome) for request in seen]


@pytest.mark.parametrize(("kept", "connections"), [(True, 1), (False, 4)])
async def test_kept_connections_are_used_again_and_others_are_not(kept: bool, connections: int) -> None:
    site = Site(OK)
    async with await asyncio.start_server(site.serve, "127.0.0.1", 0) as server:
        users = Users(Address(*server.sockets[0].getsockname()))
        answers = [await users.ask(Arrival(0, method, kept)) for method in ("GET", "POST", "POST", "GET")]
        users.leave()

    assert answers == [Answer(200, "ui1", 2, True)] * 4
    assert (site.connections, site.requests) == (connections, {"GET": 2, "POST": 2})


async def test_a_kept_connection_that_the_server_closed_is_not_used_again() -> None:
    site = Site(OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"))
    async with await asyncio.start_server(site.serve, "127.0.0.1", 0) as server:
        users = Users(Address(*server.sockets[0].getsockname()))
        for _ in range(2):
            await users.ask(Arrival(0, "GET", True))

    assert site.connections == 2


@pytest.mark.parametrize(
    ("answer", "fate"),
    [(CUT_OFF, (0, "", Outcome.ERROR)), (b"", (0, "", Outcome.ERROR)), (REFUSAL, (502, "", Outcome.ERROR))],
)
async def test_broken_answers_are_errors_and_the_next_request_is_not_hurt(
    answer: bytes, fate: tuple[int, str, Outcome]
) -> None:
    due = [Arrival(0.0, "GET", True), Arrival(0.2, "GET", True)]

    assert await fates(Site(answer, OK), *due) == [fate, (200, "ui1", Outcome.OK)]


async def test_who_gets_no_answer_gives_up_and_does_not_hold_up_the_others() -> None:
    silent = Site(b"HTTP/1.1 200 OK\r\n", OK)
    due = [Arrival(0.0, "GET", True), Arrival(0.1, "GET", True)]

    assert await fates(silent, *due, patience_s=2.0) == [(0, "", Outcome.GAVE_UP), (200, "ui1", Outcome.OK)]


async def test_nobody_listening_is_an_error() -> None:
    async with Load() as load:
        order = Order("127.0.0.1", 9, time.monotonic(), (Arrival(0.0, "GET", True),), 1.0, PATIENCE_S)

        assert [request.outcome for request in await load.send(order)] == [Outcome.ERROR]
