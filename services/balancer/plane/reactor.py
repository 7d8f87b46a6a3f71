"""Sockets of the data plane: one epoll instance for all of them, which the event loop watches as a single file.

An event costs one look-up and one system call here, well below what a stream of the event loop takes; beside the kernel's
part, that is most of what a small request costs. Connections with TLS stay with the loop (see secured.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
import socket
from collections.abc import Callable
from typing import Any, Final

from services.balancer.plane.transport import LOW_SHARE, WAITING_LIMIT, Endpoint, Transport, set_to_reset

EVENTS_PER_ROUND: Final = 128
ROUNDS_PER_TURN: Final = 8  # then the loop has its turn
ACCEPTS_PER_EVENT: Final = 16
ACCEPT_PAUSE_S: Final = 0.5  # after an accept failed for want of descriptors or memory, as nginx does
READ_BYTES: Final = 479  # the largest piece for which Python has memory at hand; most heads are smaller
READ_BYTES_MORE: Final = 1 << 13
READ_BYTES_MOST: Final = 120 << 10  # memory for more comes from the system each time
PIECES_PER_WRITE: Final = 64
WANT: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
"""What fails for want of descriptors or memory."""

_USUAL: Final[Any] = READ_BYTES
_IN: Final[int] = select.EPOLLIN
_OUT: Final[int] = select.EPOLLOUT
_read: Final = os.read
_write: Final = os.write


class Reactor:
    """Hands the events of descriptors to streams, and to whoever else waits for one."""

    def __init__(self, loop: asyncio.AbstractEventLoop, warn: Callable[..., object]) -> None:
        self.loop = loop
        self.warn = warn
        self.now = loop.time()  # when the events came that are being handled
        self._epoll = select.epoll()
        self._streams: dict[int, Stream] = {}
        self._others: dict[int, Callable[[], None]] = {}
        self._new: set[int] = set()  # of the others, since events were fetched; those are of who had the number before
        loop.add_reader(self._epoll.fileno(), self._turn)

    def close(self) -> None:
        """End all streams; who is concerned hears of it in the next round of the loop. The last thing to be called."""
        for stream in list(self._streams.values()):
            stream.abort()
        if not self._epoll.closed:
            self.loop.remove_reader(self._epoll.fileno())
            self._epoll.close()

    def connected(self, sock: socket.socket, endpoint: Endpoint) -> None:
        """Take over a connected, non-blocking socket for an endpoint."""
        stream = Stream(self, sock, endpoint)
        fd = sock.fileno()
        self._epoll.register(fd, _IN)
        self._streams[fd] = stream
        endpoint.connection_made(stream)

    def await_readable(self, fd: int, ready: Callable[[], None]) -> None:
        """Call whenever a descriptor can be read or accepts, until it is forgotten."""
        self._epoll.register(fd, _IN)
        self._others[fd] = ready
        self._new.add(fd)

    def await_writable(self, fd: int, ready: Callable[[], None]) -> None:
        """Call when a descriptor can be written or its connecting has come to an end, until it is forgotten."""
        self._epoll.register(fd, _OUT)
        self._others[fd] = ready
        self._new.add(fd)

    def forget(self, fd: int) -> None:
        """Wait no more; to be called while the descriptor is open, as another one may share what it stands for."""
        self._streams.pop(fd, None)
        self._others.pop(fd, None)
        self._epoll.unregister(fd)

    def change(self, fd: int, before: int, events: int) -> None:
        """Wait for other events of a stream; for none at all it must not be registered, as errors come unasked."""
        if not events:
            self._epoll.unregister(fd)
        elif before:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)

    def leave(self, fd: int, events: int) -> None:
        """A stream that waits for these events ends."""
        self._streams.pop(fd, None)
        if events:
            self._epoll.unregister(fd)

    def _turn(self) -> None:
        fd: Any  # a number of the language's own, as dictionaries and system calls take it
        events: int
        for _ in range(ROUNDS_PER_TURN):
            ready = self._epoll.poll(0, EVENTS_PER_ROUND)
            if not ready:
                return
            self.now = self.loop.time()
            if self._new:
                self._new.clear()
            for fd, events in ready:
                stream = self._streams.get(fd)
                if stream is not None:
                    try:
                        stream.on_events(events)
                    except Exception as error:  # a mistake of ours ends one connection, not the process
                        self._complain("an event was not handled", error)
                        stream.abort()
                else:
                    self._serve_other(fd)

    def _serve_other(self, fd: int) -> None:
        ready = self._others.get(fd)  # none: its owner has gone since the events were fetched
        if ready is not None and fd not in self._new:
            try:
                ready()
            except Exception as error:
                self._complain("an event was not handled", error)

    def _complain(self, message: str, error: Exception) -> None:
        self.loop.call_exception_handler({"message": message, "exception": error})


class Listening:
    """A socket that accepts; its own from now on."""

    def __init__(
        self, reactor: Reactor, sock: socket.socket, backlog: int, welcome: Callable[[socket.socket], None]
    ) -> None:
        """``sock`` is bound; ``welcome`` takes over each connection. Raises OSError."""
        sock.setblocking(False)
        sock.listen(backlog)
        self._reactor = reactor
        self._sock = sock
        self._welcome = welcome
        self._pause: asyncio.TimerHandle | None = None
        self._begin()

    def _begin(self) -> None:
        self._pause = None
        self._reactor.await_readable(self._sock.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(ACCEPTS_PER_EVENT):
            try:
                sock = self._sock.accept()[0]
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in WANT:
                    self._rest(error)
                    return
                continue  # that client is gone already
            prepare(sock)
            self._welcome(sock)

    def _rest(self, error: OSError) -> None:
        """Leave who comes in the queue for a while: there is nothing left to serve them with."""
        self._reactor.warn("cannot accept", reason=error.strerror, again_in_s=ACCEPT_PAUSE_S)
        self._reactor.forget(self._sock.fileno())
        self._pause = self._reactor.loop.call_later(ACCEPT_PAUSE_S, self._begin)

    def close(self) -> None:
        """Accept no more; the connections there are stay."""
        if self._sock.fileno() < 0:
            return
        if self._pause is None:
            self._reactor.forget(self._sock.fileno())
        else:
            self._pause.cancel()
        self._sock.close()


def prepare(sock: socket.socket) -> None:
    """Set what every connection of ours has."""
    sock.setblocking(False)
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Stream(Transport):
    """One connection without TLS."""

    __slots__ = (
        "_broken",
        "_ended",
        "_endpoint",
        "_eof_follows",
        "_events",
        "_fd",
        "_full",
        "_large",
        "_leaving",
        "_limit",
        "_reactor",
        "_reading",
        "_size",
        "_sock",
        "_waiting",
        "_waiting_bytes",
    )

    def __init__(self, reactor: Reactor, sock: socket.socket, endpoint: Endpoint) -> None:
        self._reactor = reactor
        self._sock = sock
        self._endpoint = endpoint
        self._fd: Any = sock.fileno()  # it goes into every system call
        self._events = _IN  # that are waited for
        self._reading = True  # the other side may have more to say
        self._size: Any = _USUAL  # of the next piece to be read, at most
        self._large = False
        self._waiting: list[bytes | memoryview] = []
        self._waiting_bytes = 0
        self._limit = WAITING_LIMIT
        self._full = False  # the endpoint was told to pause
        self._eof_follows = False  # what is waiting is the last we send
        self._leaving = False  # closed by us
        self._broken: OSError | None = None  # nothing can be sent any more
        self._ended = False

    # Events

    def on_events(self, events: int) -> None:
        if events != _IN and self._events & _OUT:
            self._flush()
        if self._events & _IN:
            self._receive()

    def _receive(self) -> None:
        try:
            data = _read(self._fd, self._size)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._endpoint.eof_received()  # at once, as in the other cases; the end itself follows
            self._end(self._broken or error)
            return
        if not data:
            self._hear_end()
            return
        if len(data) >= READ_BYTES or self._large:
            self._ask_for_more_than(len(data))
        self._endpoint.data_received(data)

    def _ask_for_more_than(self, got: int) -> None:
        """Choose the size of the next piece after one of so many bytes."""
        self._large = got >= READ_BYTES_MORE
        self._size = min(4 * got, READ_BYTES_MOST) if self._large else READ_BYTES_MORE

    def _hear_end(self) -> None:
        if self._broken is not None:
            self._end(self._broken)
            return
        self._reading = False
        self._wait_for(self._events & ~_IN)
        if not self._endpoint.eof_received():
            self.close()

    def _flush(self) -> None:
        """Send what is waiting, as far as it goes."""
        try:
            sent = os.writev(self._fd, self._waiting[:PIECES_PER_WRITE])
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._break(error)
            return
        self._drop(sent)
        if not self._waiting_bytes:
            self._wait_for(self._events & ~_OUT)
            if self._leaving:
                self._end(None)
                return
            if self._eof_follows:
                self._shut()
        if self._full and self._waiting_bytes <= self._limit // LOW_SHARE:
            self._full = False
            self._endpoint.resume_writing()

    def _drop(self, sent: int) -> None:
        """Forget so many bytes of what is waiting."""
        self._waiting_bytes -= sent
        done = 0
        for piece in self._waiting:
            if len(piece) > sent:
                break
            sent -= len(piece)
            done += 1
        del self._waiting[:done]
        if sent:
            self._waiting[0] = memoryview(self._waiting[0])[sent:]

    def _break(self, error: OSError) -> None:
        """Sending failed. What the other side said before that may still be there to be read."""
        self._broken = error
        self._waiting.clear()
        self._waiting_bytes = 0
        if self._events & _IN:
            self._wait_for(_IN)
        else:
            self._end(error)

    def _wait_for(self, events: int) -> None:
        before = self._events
        if events != before and not self._ended:
            self._events = events
            self._reactor.change(self._fd, before, events)

    def _end(self, error: OSError | None) -> None:
        if self._ended:
            return
        self._ended = self._leaving = True
        self._waiting.clear()
        self._waiting_bytes = 0
        self._reactor.leave(self._fd, self._events)
        self._events = 0
        self._sock.close()
        self._reactor.loop.call_soon(self._endpoint.connection_lost, error)

    # Commands

    def write(self, data: bytes) -> None:
        if self._leaving or self._eof_follows or self._broken is not None:
            return
        if self._waiting_bytes:
            self._keep(data)
            return
        try:
            sent = _write(self._fd, data)
        except (BlockingIOError, InterruptedError):
            self._keep(data)
        except OSError as error:
            self._break(error)
        else:
            if sent < len(data):
                self._keep(memoryview(data)[sent:])

    def _keep(self, data: bytes | memoryview) -> None:
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        self._wait_for(self._events | _OUT)
        if self._waiting_bytes > self._limit and not self._full:
            self._full = True
            self._endpoint.pause_writing()

    def write_eof(self) -> None:
        if not self._eof_follows:
            self._eof_follows = True
            if not self._waiting_bytes:
                self._shut()

    def _shut(self) -> None:
        with contextlib.suppress(OSError):  # it is gone, as reading will tell
            self._sock.shutdown(socket.SHUT_WR)

    def can_write_eof(self) -> bool:
        return True

    def pause_reading(self) -> None:
        self._wait_for(self._events & ~_IN)

    def resume_reading(self) -> None:
        if self._reading and not self._leaving:
            self._wait_for(self._events | _IN)

    def limit_waiting(self, size: int) -> None:
        self._limit = size

    def waiting_bytes(self) -> int:
        return self._waiting_bytes

    def close(self) -> None:
        if not self._leaving:
            self._leaving = True
            if self._waiting_bytes:
                self._wait_for(_OUT)
            else:
                self._end(None)

    def abort(self) -> None:
        self._end(None)

    def reset(self) -> None:
        if not self._ended:
            set_to_reset(self._sock)
            self._end(None)

    def remote(self) -> Any:
        return _name(self._sock.getpeername)

    def local(self) -> Any:
        return _name(self._sock.getsockname)


def _name(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except OSError:
        return None
