"""The HA table from what servers say: roles, lag, majority."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from services.sunstone_lite import zone
from services.sunstone_lite.delegation import ServerCipher
from services.sunstone_lite.items import parse
from services.sunstone_lite.zone import AWAY, Peer, Status


def overview(*states: Status) -> zone.Overview:
    known = tuple((Peer(n, f"s{n}", f"http://s{n}/RPC2"), state) for n, state in enumerate(states))
    return zone.overview(known, "http://s1/RPC2")


def test_lag_is_counted_from_the_leaders_log() -> None:
    table = overview(Status("leader", 7, index=100), Status("follower", 7, index=97), AWAY)
    assert [line.lag for line in table.lines] == [0, 3, -1]
    assert [line.own for line in table.lines] == [False, True, False]


def test_a_follower_ahead_of_the_answer_is_in_step() -> None:
    assert overview(Status("leader", 7, index=5), Status("follower", 7, index=6)).lines[1].lag == 0


def test_of_two_leaders_the_higher_term_counts() -> None:
    table = overview(Status("leader", 7, index=100), Status("leader", 9, index=90), Status("follower", 9, index=90))
    assert table.leader is not None and table.leader.peer.server_id == 1
    assert table.lines[2].lag == 0


@pytest.mark.parametrize(
    ("states", "writable"),
    [
        ((Status("leader"), Status("follower"), AWAY), True),
        ((Status("leader"), AWAY, AWAY), False),
        ((Status("candidate"), Status("candidate"), AWAY), False),
        ((Status("solo"),), True),
        ((AWAY,), False),
    ],
)
def test_writes_need_a_leader_and_a_majority(states: tuple[Status, ...], writable: bool) -> None:
    assert overview(*states).can_write is writable


def test_servers_come_from_the_zone_by_id_and_a_solo_zone_is_its_endpoint() -> None:
    cluster = parse(
        "<ZONE><SERVER_POOL><SERVER><ENDPOINT>b</ENDPOINT><ID>2</ID><NAME>two</NAME></SERVER>"
        "<SERVER><ENDPOINT>a</ENDPOINT><ID>0</ID><NAME>zero</NAME></SERVER></SERVER_POOL></ZONE>"
    )
    assert [peer.name for peer in zone.peers(cluster)] == ["zero", "two"]
    solo = parse("<ZONE><NAME>z</NAME><TEMPLATE><ENDPOINT>e</ENDPOINT></TEMPLATE><SERVER_POOL/></ZONE>")
    assert zone.peers(solo) == (Peer(-1, "z", "e"),)


def test_the_raft_answer_of_a_solo_daemon() -> None:
    raft = parse(
        "<RAFT><SERVER_ID>-1</SERVER_ID><STATE>0</STATE><TERM>0</TERM><VOTEDFOR>-1</VOTEDFOR><COMMIT>0</COMMIT>"
        "<LOG_INDEX>-1</LOG_INDEX><LOG_TERM>-1</LOG_TERM><FEDLOG_INDEX>-1</FEDLOG_INDEX></RAFT>"
    )
    assert zone.status(raft) == Status("solo", 0, -1, 0, -1, -1)


def test_a_server_token_decrypts_to_server_target_and_expiry() -> None:
    digest = hashlib.sha256(b"secret").hexdigest()
    session = ServerCipher("serveradmin", digest).session("ann", now=1_000.7)
    server, target, token = session.split(":")
    assert (server, target) == ("serveradmin", "ann")
    decryptor = Cipher(algorithms.AES(digest[:32].encode()), modes.CBC(digest[:16].encode())).decryptor()
    clear = decryptor.update(base64.b64decode(token)) + decryptor.finalize()
    assert clear[: -clear[-1]] == b"serveradmin:ann:2800"
