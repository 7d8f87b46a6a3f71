"""The HA table: what `onezone show` prints, with lag and reachability. Pure part; `watch` does the asking."""

from dataclasses import dataclass
from typing import Literal

from services.sunstone_lite.cells import State, Tone
from services.sunstone_lite.i18n import N_
from services.sunstone_lite.items import Item

Role = Literal["leader", "follower", "candidate", "solo", "unknown", "away"]

# STATE of one.zone.raftstatus.
RAFT_STATES: tuple[Role, ...] = ("solo", "candidate", "follower", "leader")

_SHOWN: dict[Role, tuple[str, Tone]] = {
    "leader": (N_("Leader"), "good"),
    "follower": (N_("Follower"), "good"),
    "candidate": (N_("Candidate"), "busy"),
    "solo": (N_("Solo"), "good"),
    "unknown": (N_("Reachable"), "warn"),
    "away": (N_("Unreachable"), "bad"),
}


@dataclass(frozen=True, slots=True)
class Peer:
    """A server of the zone as `one.zone.info` lists it."""

    server_id: int
    name: str
    endpoint: str


@dataclass(frozen=True, slots=True)
class Status:
    """What one server says of itself (one.zone.raftstatus). Numbers are -1 where it did not say."""

    role: Role
    term: int = -1
    index: int = -1
    commit: int = -1
    vote: int = -1
    fed_index: int = -1


AWAY = Status("away")
REACHABLE = Status("unknown")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table. `lag` is the number of entries behind the leader, -1 when nobody can tell."""

    peer: Peer
    status: Status
    lag: int
    own: bool

    @property
    def state(self) -> State:
        """The role as a state to draw."""
        word, tone = _SHOWN[self.status.role]
        return State(word, tone, self.status.role)


@dataclass(frozen=True, slots=True)
class Overview:
    """The zone's servers and what follows from them."""

    lines: tuple[Line, ...]

    @property
    def leader(self) -> Line | None:
        """The leader: of several that call themselves so, the one with the highest term."""
        leaders = [line for line in self.lines if line.status.role in ("leader", "solo")]
        return max(leaders, key=lambda line: line.status.term, default=None)

    @property
    def reachable(self) -> int:
        """How many servers answer."""
        return sum(line.status.role != "away" for line in self.lines)

    @property
    def has_quorum(self) -> bool:
        """Whether a majority answers."""
        return 2 * self.reachable > len(self.lines)

    @property
    def can_write(self) -> bool:
        """Whether writes can be expected to work: a leader and a majority."""
        return self.leader is not None and self.has_quorum


def peers(zone: Item) -> tuple[Peer, ...]:
    """The servers in the XML of a zone, by id; a solo zone is one server at the zone's endpoint."""
    found = [
        Peer(server.oid, server.text("NAME"), server.text("ENDPOINT")) for server in zone.all("SERVER_POOL/SERVER")
    ]
    if not found:
        return (Peer(-1, zone.name, zone.text("TEMPLATE/ENDPOINT")),)
    return tuple(sorted(found, key=lambda peer: peer.server_id))


def status(raft: Item) -> Status:
    """The status in the answer of one.zone.raftstatus."""
    code = raft.number("STATE", -1)
    return Status(
        role=RAFT_STATES[code] if 0 <= code < len(RAFT_STATES) else "unknown",
        term=raft.number("TERM", -1),
        index=raft.number("LOG_INDEX", -1),
        commit=raft.number("COMMIT", -1),
        vote=raft.number("VOTEDFOR", -1),
        fed_index=raft.number("FEDLOG_INDEX", -1),
    )


def overview(known: tuple[tuple[Peer, Status], ...], own_endpoint: str) -> Overview:
    """The table, with each server's lag behind the leader's log."""
    leaders = [state for _, state in known if state.role == "leader"]
    head = max(leaders, key=lambda state: state.term).index if leaders else -1
    return Overview(
        tuple(
            Line(
                peer,
                state,
                lag=max(0, head - state.index) if head >= 0 and state.index >= 0 else -1,
                own=peer.endpoint == own_endpoint,
            )
            for peer, state in known
        )
    )
