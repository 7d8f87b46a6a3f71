"""Packets of the loopback interface: which the balancer sent to whom, and how to let those to a socket vanish.

Seen from outside, every balancer is the same: what it sends to a server is a try to reach it, answered or not. Seeing
packets takes CAP_NET_RAW (root has it), or a user and network namespace of one's own; where neither can be had,
`Tap.allowed()` is False. Dropping packets is a socket filter that takes none; most kernels let everybody attach it, the
newest only those who may administer the network, as one may in a network of one's own.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from deploy.lab.compare.history import Attempt

SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27
SO_TIMESTAMPNS = 35
PACKET_STATISTICS = 6
SOL_PACKET = 263
IPV4 = 0x0800
SYN = 0x02
SNAPSHOT = 120
"""Bytes of a packet that are looked at: headers, and how the request begins."""

NETWORK = "127.0.70"
"""Servers live on loopback addresses of their own, which is how the tap tells packets to them from all others."""

INSIDE = "ONELITE_COMPARE_NAMESPACE"
NAMESPACE = ("--map-current-user", "--keep-caps", "--net")

Instruction = tuple[int, int, int, int]
DROP_ALL: tuple[Instruction, ...] = ((0x06, 0, 0, 0),)
TO_SERVERS: tuple[Instruction, ...] = (
    (0x20, 0, 0, 16),  # A = destination address
    (0x54, 0, 0, 0xFFFFFF00),
    (0x15, 0, 6, struct.unpack(">I", socket.inet_aton(f"{NETWORK}.0"))[0]),
    (0x30, 0, 0, 9),  # A = protocol
    (0x15, 0, 4, socket.IPPROTO_TCP),
    (0xB1, 0, 0, 0),  # X = length of the IP header
    (0x50, 0, 0, 13),  # A = TCP flags
    (0x45, 0, 1, 0x0A),  # SYN or PSH: a connection begins, or somebody says something
    (0x06, 0, 0, SNAPSHOT),
    (0x06, 0, 0, 0),
)
"""Classic BPF (linux/filter.h) on IPv4 packets: (code, jump if true, jump if false, operand)."""


def drop_all(sock: socket.socket) -> None:
    """From now on the kernel drops every packet to this socket, unseen and unanswered. OSError if it will not."""
    _attach(sock, DROP_ALL)


def drop_none(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)


def can_drop() -> bool:
    """Whether the system lets us attach a filter."""
    with socket.socket() as sock:
        try:
            drop_all(sock)
        except OSError:
            return False
    return True


@dataclass(frozen=True, slots=True)
class Packet:
    """The beginning of a connection (`syn`) or something said on it, to a server."""

    source_port: int
    host: str
    port: int
    sequence: int
    syn: bool
    said: bytes


def read_packet(packet: bytes) -> Packet:
    """An IPv4 packet that carries TCP."""
    tcp = 4 * (packet[0] & 0xF)
    source, port, sequence = struct.unpack_from(">HHI", packet, tcp)
    offset = tcp + 4 * (packet[tcp + 12] >> 4)
    return Packet(
        source, socket.inet_ntoa(packet[16:20]), port, sequence, bool(packet[tcp + 13] & SYN), packet[offset:]
    )


Connection = tuple[int, str, int]


class Tries:
    """Makes tries of packets: a new connection with its first request is one try, and so is each further request on it."""

    def __init__(self, servers: Mapping[tuple[str, int], tuple[str, bool]]) -> None:
        """`servers` has host and port to the server's name, and whether that port is for probes."""
        self._servers = servers
        self._begun: dict[Connection, int] = {}
        self._last: dict[Connection, int] = {}
        self._fresh: set[Connection] = set()

    def take(self, packet: Packet, at_s: float) -> Attempt | None:
        """The try that the packet is the first of; None for repeats of lost ones and for what belongs to a known try."""
        server = self._servers.get((packet.host, packet.port))
        connection = packet.source_port, packet.host, packet.port
        if server is None or self._known(connection, packet):
            return None
        self._last[connection] = packet.sequence
        if packet.syn:
            self._begun[connection] = packet.sequence
            self._fresh.add(connection)
        elif connection in self._fresh:
            self._fresh.discard(connection)
            return None
        return Attempt(at_s, *server)

    def _known(self, connection: Connection, packet: Packet) -> bool:
        """Whether this was sent before, or does not begin a request."""
        if packet.syn:
            return self._begun.get(connection) == packet.sequence
        ahead = (packet.sequence - self._last.get(connection, packet.sequence - 1)) % (1 << 32)
        return not 0 < ahead < 1 << 31 or not packet.said.startswith((b"GET ", b"POST "))


class Tap:
    """Listens to the loopback interface; `async with` opens it. One for the whole experiment."""

    def __init__(self, servers: Mapping[tuple[str, int], tuple[str, bool]]) -> None:
        self._servers = servers
        self.start(time.monotonic())

    @staticmethod
    def allowed() -> bool:
        """Whether the system lets us."""
        try:
            _socket().close()
        except OSError:
            return False
        return True

    async def __aenter__(self) -> Tap:
        self._socket = _socket()
        self._socket.bind(("lo", IPV4))
        asyncio.get_running_loop().add_reader(self._socket, self._read)
        return self

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def start(self, start_s: float) -> None:
        """Forgets what it saw; `start_s` is when the next run begins, on the monotonic clock."""
        self._tries = Tries(self._servers)
        self._attempts: list[Attempt] = []
        # Packets carry the time of day, runs count monotonic seconds.
        self._zero_s = time.time() - time.monotonic() + start_s

    def seen(self) -> tuple[Attempt, ...]:
        """Every try since the start, in seconds from it."""
        return tuple(self._attempts)

    def lost(self) -> int:
        """Packets that came faster than we looked, since this was last asked."""
        statistics = self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
        return int(struct.unpack("II", statistics)[1])

    def _read(self) -> None:
        while True:
            try:
                data, extras, _, address = self._socket.recvmsg(SNAPSHOT, 64)
            except BlockingIOError:
                return
            if address[2] == socket.PACKET_OUTGOING:
                continue  # on the loopback interface every packet passes twice
            seconds, nanoseconds = struct.unpack("qq", extras[0][2])
            attempt = self._tries.take(read_packet(data), seconds + nanoseconds / 1e9 - self._zero_s)
            if attempt is not None:
                self._attempts.append(attempt)


def enter_namespace() -> None:
    """Goes on as the same user in a network of its own, where packets may be seen; returns only if that cannot be had."""
    program = shutil.which("unshare")
    if program is None or INSIDE in os.environ:
        return
    if subprocess.run([program, *NAMESPACE, "true"], capture_output=True, check=False).returncode == 0:
        argv = [program, *NAMESPACE, sys.executable, *sys.orig_argv[1:]]
        os.execve(program, argv, {**os.environ, INSIDE: "1"})


def raise_loopback() -> None:
    """A new network namespace has its loopback interface down; puts it up."""
    if INSIDE in os.environ:
        with socket.socket() as sock:
            fcntl.ioctl(sock, 0x8914, struct.pack("16sH14x", b"lo", 0x1))  # SIOCSIFFLAGS, IFF_UP


def _socket() -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(IPV4))
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    _attach(sock, TO_SERVERS)
    return sock


def _attach(sock: socket.socket, program: tuple[Instruction, ...]) -> None:
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *instruction) for instruction in program))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(program), ctypes.addressof(code)))
