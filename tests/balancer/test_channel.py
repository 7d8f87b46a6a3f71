"""Messages with descriptors between processes."""

from __future__ import annotations

import asyncio
import os
import socket

from services.balancer.channel import Channel, Message, WithDescriptor, inherited, pair
from tests.balancer.support import eventually


class Text(Message, frozen=True, kw_only=True):
    text: str


class File(WithDescriptor, frozen=True, kw_only=True):
    name: str


class Unknown(Message, frozen=True, kw_only=True):
    pass


class End:
    """One end of a channel, and what came out of it."""

    def __init__(self, sock: socket.socket) -> None:
        self.came: list[tuple[str, str]] = []
        self.closed = 0
        self.channel = Channel(sock, Text | File, self._received, self._closed)

    def _received(self, message: Text | File, fd: int) -> None:
        if isinstance(message, Text):
            assert fd == -1
            self.came.append(("text", message.text))
        else:
            with os.fdopen(fd) as file:
                self.came.append((message.name, file.read()))

    def _closed(self) -> None:
        self.closed += 1


def file_with(text: str) -> int:
    reading, writing = os.pipe()
    os.write(writing, text.encode())
    os.close(writing)
    return reading


async def test_messages_arrive_whole_and_in_order_with_their_descriptors() -> None:
    here, there = (End(sock) for sock in pair())
    large = "x" * 3_000_000  # far more than a socket holds
    one, two = file_with("first"), file_with("second")
    here.channel.send(File(name="one"), one)
    here.channel.send(Text(text=large))
    here.channel.send(File(name="two"), two)
    here.channel.send(Text(text="end"))
    for fd in (one, two):
        os.close(fd)
    there.channel.send(Text(text="back"))
    await eventually(lambda: len(there.came) == 4 and here.came)
    assert there.came == [("one", "first"), ("text", large), ("two", "second"), ("text", "end")]
    assert here.came == [("text", "back")]
    here.channel.close()
    await eventually(lambda: there.closed)
    there.channel.send(Text(text="nobody hears"))
    await asyncio.sleep(0)
    assert (here.closed, there.closed) == (0, 1)


async def test_a_peer_that_speaks_otherwise_is_a_lost_one() -> None:
    here, there = (End(sock) for sock in pair())
    here.channel.send(Unknown())
    await eventually(lambda: there.closed and here.closed)
    assert there.came == []


async def test_what_a_peer_said_before_its_end_can_be_taken_in() -> None:
    here, there = (End(sock) for sock in pair())
    here.channel.send(Text(text="last words"))
    here.channel.close()
    there.channel.drain()
    assert (there.came, there.closed) == ([("text", "last words")], 1)


def test_listening_sockets_that_were_handed_over_never_block() -> None:
    """Whoever shares one would hang in ``accept`` when another process was quicker."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        with inherited(os.dup(listener.fileno())) as sock, sock.dup():
            assert not os.get_blocking(listener.fileno())
