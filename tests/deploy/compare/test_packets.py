"""What the tap makes of packets, and what it sees of real ones."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest

from deploy.lab.compare.history import Attempt
from deploy.lab.compare.packets import NETWORK, Packet, Tap, Tries, can_drop, drop_all, drop_none, read_packet

DOORS = {("127.0.70.1", 80): ("ui1", False), ("127.0.70.1", 81): ("ui1", True)}


def packet(source: int, sequence: int, said: bytes = b"", port: int = 80) -> Packet:
    return Packet(source, "127.0.70.1", port, sequence, not said, said)


def tries(*packets: Packet) -> list[Attempt]:
    taker = Tries(DOORS)
    taken = [taker.take(each, float(at_s)) for at_s, each in enumerate(packets)]
    return [attempt for attempt in taken if attempt]


def test_a_connection_and_its_first_request_are_one_try_and_each_further_request_is_another() -> None:
    seen = tries(packet(5, 1), packet(5, 2, b"GET /page"), packet(5, 9, b"POST /page"), packet(5, 20, b"name=web"))

    assert seen == [Attempt(0.0, "ui1", False), Attempt(2.0, "ui1", False)]


def test_what_is_sent_again_because_it_was_lost_is_no_new_try() -> None:
    lost_connection = packet(5, 1), packet(5, 1), packet(5, 2, b"GET /")
    lost_request = packet(6, 2, b"GET /"), packet(6, 2, b"GET /")

    assert len(tries(*lost_connection)) == 1 and len(tries(*lost_request)) == 1


def test_probes_are_known_by_their_port_and_strangers_are_left_alone() -> None:
    assert tries(packet(5, 1, port=81), packet(5, 1, port=99)) == [Attempt(0.0, "ui1", True)]


def test_a_packet_is_read_past_the_options_of_its_headers() -> None:
    ip = bytes([0x46, *bytes(15), 127, 0, 70, 1, *bytes(4)])
    tcp = struct.pack(">HHIIBBHHH", 4000, 80, 77, 0, 6 << 4, 0x18, 0, 0, 0) + bytes(4)

    assert read_packet(ip + tcp + b"GET /page") == Packet(4000, "127.0.70.1", 80, 77, False, b"GET /page")


@pytest.fixture
def listener() -> socket.socket:
    return socket.create_server((f"{NETWORK}.1", 0))


async def test_the_tap_sees_refused_connections_and_requests_that_nobody_reads(listener: socket.socket) -> None:
    address, loop = listener.getsockname(), asyncio.get_running_loop()
    async with Tap({address: ("ui1", False)}) as tap:
        with listener, socket.create_connection(address) as client:
            client.sendall(b"GET /page HTTP/1.1\r\n\r\n")
            client.sendall(b"POST /page HTTP/1.1\r\n\r\n")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        async with asyncio.timeout(10):
            while len(tap.seen()) < 3:
                await loop.run_in_executor(None, lambda: None)
        times = [attempt.at_s for attempt in tap.seen()]

        assert [attempt.server for attempt in tap.seen()] == ["ui1"] * 3
        assert 0 <= times[0] <= times[1] <= times[2] < 10
        assert tap.lost() == 0


def test_packets_to_a_socket_vanish_until_they_are_let_through(listener: socket.socket) -> None:
    assert can_drop()
    with listener, socket.create_connection(listener.getsockname()) as client:
        inside, _ = listener.accept()
        with inside:
            drop_all(listener)
            drop_all(inside)
            client.sendall(b"hello")
            with pytest.raises(TimeoutError):
                socket.create_connection(listener.getsockname(), timeout=0.2)
            drop_none(inside)
            client.sendall(b" again")  # acknowledgements tell the kernel to send what was lost

            inside.settimeout(10)
            assert inside.recv(11, socket.MSG_WAITALL) == b"hello again"
