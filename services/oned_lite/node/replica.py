"""What the parts of a node share: the committed state, consensus, and the outgoing effects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.common.xmlrpc import Fault, encode_fault, encode_response
from services.oned_lite.api.call import ClusterStatus
from services.oned_lite.api.method import Method
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.errors import ApiError
from services.oned_lite.policy.sessions import Sessions
from services.oned_lite.raft.node import RaftNode
from services.oned_lite.raft.types import Role
from services.oned_lite.state import Store

from . import frames
from .effects import Effects, Reply
from .gate import Answer, failure
from .requests import Client, Pending
from .settings import SOLO_ID, NodeSettings

STATE_SOLO, STATE_CANDIDATE, STATE_FOLLOWER, STATE_LEADER = range(4)
_STATES = {
    Role.FOLLOWER: STATE_FOLLOWER,
    Role.PRE_CANDIDATE: STATE_CANDIDATE,
    Role.CANDIDATE: STATE_CANDIDATE,
    Role.LEADER: STATE_LEADER,
}


@dataclass(slots=True)
class Replica:
    settings: NodeSettings
    conf: Configuration
    methods: Mapping[str, Method]
    store: Store
    raft: RaftNode
    effects: Effects = field(default_factory=Effects)
    sessions: Sessions = field(default_factory=Sessions)

    def answer(self, client: Client, body: bytes, index: int = 0) -> None:
        """Sends a finished answer; one for another server carries the `index` it must have applied before it passes the
        answer on, so that a client reads its own writes from the server it talks to."""
        if client.peer is None:
            self.effects.replies.append(Reply(client.number, body))
        else:
            self.send(client.peer, frames.Forwarded(client.number, body, index))

    def refuse(self, pending: Pending, error: ApiError) -> None:
        self.answer(pending.client, encode_answer(failure(pending.method, error)))

    def send(self, peer: int, frame: frames.Frame) -> None:
        self.effects.frames.append((peer, frames.encode(frame)))

    def cluster_status(self) -> ClusterStatus:
        """The fields of one.zone.raftstatus."""
        if self.settings.solo:
            return ClusterStatus(server_id=SOLO_ID)
        raft = self.raft
        return ClusterStatus(
            server_id=self.settings.raft.server_id,
            state=_STATES[raft.role],
            term=raft.term,
            voted_for=-1 if raft.vote is None else raft.vote,
            commit=raft.commit_index,
            log_index=raft.last_index,
            log_term=raft.last_term,
            members=tuple(raft.configuration.members()),
        )


def encode_answer(answer: Answer) -> bytes:
    """The XML-RPC response document."""
    if isinstance(answer, Fault):
        return encode_fault(answer.code, answer.message)
    return encode_response(answer)
