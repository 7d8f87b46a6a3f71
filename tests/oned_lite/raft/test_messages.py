import msgspec
import pytest

from services.oned_lite.raft import Configuration, Entry, EntryKind, Message, SnapshotMeta, decode, encode
from services.oned_lite.raft import messages as m
from services.oned_lite.raft.types import decode_configuration, encode_configuration

EVERY_MESSAGE: list[Message] = [
    m.PreVoteRequest(3, 7, 2, 5),
    m.PreVoteResponse(3, True),
    m.PreVoteResponse(3, False, True),
    m.VoteRequest(3, 7, 2, True),
    m.VoteResponse(3, False),
    m.AppendEntries(3, 7, 2, 6, (Entry(8, 3, EntryKind.DATA, b"\x00\xff"), Entry(9, 3, EntryKind.NOOP, b""))),
    m.AppendAccepted(3, 9),
    m.AppendAccepted(3, 9, True),
    m.AppendRejected(3, 7, 5, 1, 6),
    m.Heartbeat(3, 6, 99),
    m.HeartbeatResponse(3, 99, 9, 8, 7, 2**64 - 1),
    m.HeartbeatResponse(3, 99, 9, 8, 7, None),
    m.InstallSnapshot(3, SnapshotMeta(7, 2, Configuration((0, 1), (2,))), 100, 300, b"x" * 100),
    m.SnapshotResponse(3, 7, 200),
    m.TimeoutNow(3),
    m.StaleTerm(4),
    m.Diverged(3, 7, 2**63),
    m.CommitNotice(3, 7),
    m.Welcome(3, 7),
]


@pytest.mark.parametrize("message", EVERY_MESSAGE, ids=lambda message: type(message).__name__)
def test_message_survives_the_wire(message: Message) -> None:
    assert decode(encode(message)) == message


def test_every_kind_of_message_is_tried() -> None:
    assert {type(message) for message in EVERY_MESSAGE} == set(Message.__args__)


def test_configuration_survives_the_log() -> None:
    configuration = Configuration((0, 2, 5), (7,))
    assert decode_configuration(encode_configuration(configuration)) == configuration


@pytest.mark.parametrize("data", [b"", b"\xc0", b"\x91\x63", encode(m.TimeoutNow(3))[:-1], b"\x93\x08\x01"])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(data)
