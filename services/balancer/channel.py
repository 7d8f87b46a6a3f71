"""Messages with descriptors between two processes, over a unix stream socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from services.common import logs

_PIECE = 1 << 16
_MAX_FDS = 32
MAX_BYTES = 1 << 26
"""Of one message."""

T = TypeVar("T")


class Message(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Base of everything that is sent."""


class WithDescriptor(Message, frozen=True, kw_only=True):
    """A message that brings a descriptor, which then is the receiver's to close."""


class Channel:
    """One end. ``received`` gets each message with its descriptor, or -1; ``closed`` is called once when the peer is gone.

    Sending never waits: what the peer does not take yet is kept here.
    """

    def __init__(
        self, sock: socket.socket, kinds: Any, received: Callable[[Any, int], None], closed: Callable[[], None]
    ) -> None:
        """``kinds`` is the union of messages that may come. Takes over the socket."""
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        sock.setblocking(False)
        self._decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(kinds)
        self._received = received
        self._closed = closed
        self._waiting: deque[tuple[bytes, int]] = deque()
        self._data = bytearray()
        self._fds: deque[int] = deque()
        self._open = True
        self._loop.add_reader(sock, self._read)

    def send(self, message: Message, fd: int = -1) -> None:
        """Send a message; the descriptor is duplicated, the caller's own stays open. Nothing happens once closed."""
        if not self._open:
            return
        data = msgspec.msgpack.encode(message)
        self._waiting.append((len(data).to_bytes(4, "big") + data, os.dup(fd) if fd >= 0 else -1))
        self._write()

    def drain(self) -> None:
        """Take in what a peer that has ended sent before."""
        while self._open and self._read():
            pass

    def close(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)
            self._sock.close()
            for fd in [*self._fds, *(fd for _, fd in self._waiting if fd >= 0)]:
                os.close(fd)

    def _write(self) -> None:
        try:
            while self._waiting:
                data, fd = self._waiting[0]
                sent = socket.send_fds(self._sock, [data], [fd]) if fd >= 0 else self._sock.send(data)
                if fd >= 0:
                    os.close(fd)
                self._waiting.popleft()
                if sent < len(data):
                    self._waiting.appendleft((data[sent:], -1))
        except BlockingIOError:
            self._loop.add_writer(self._sock, self._write)
            return
        except OSError:
            self._lose()
            return
        self._loop.remove_writer(self._sock)

    def _read(self) -> bool:
        """Handle what has come; false when nothing had."""
        try:
            data, fds, _, _ = socket.recv_fds(self._sock, _PIECE, _MAX_FDS, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return False
        except OSError:
            data, fds = b"", []
        self._fds.extend(fds)
        if not data:
            self._lose()
            return False
        self._data += data
        while self._open and len(self._data) >= 4:
            end = 4 + int.from_bytes(self._data[:4], "big")
            if len(self._data) < end <= MAX_BYTES:
                break
            try:
                if end > MAX_BYTES:
                    raise msgspec.DecodeError(f"a message of {end} bytes")
                message = self._decoder.decode(self._data[4:end])
            except msgspec.DecodeError as error:  # another version of the program, that we cannot talk to
                logs.get("channel").error("cannot read what another process says", reason=str(error))
                self._lose()
                return False
            del self._data[:end]
            self._received(message, self._fds.popleft() if isinstance(message, WithDescriptor) else -1)
        return True

    def _lose(self) -> None:
        if self._open:
            self.close()
            self._closed()


def pair() -> tuple[socket.socket, socket.socket]:
    """Two ends; the second is for another process."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


def inherited(fd: int) -> socket.socket:
    """The end that another process left open for this one; ValueError when there is none.

    It never blocks, nor do its duplicates: processes that share a socket share that as well, and one that waits in
    ``accept`` for a connection which another has taken would hang. Nor is it passed on to whom this process starts.
    """
    with contextlib.suppress(OSError):
        sock = socket.socket(fileno=fd)
        sock.setblocking(False)
        sock.set_inheritable(False)
        return sock
    raise ValueError(f"descriptor {fd} is no socket")
