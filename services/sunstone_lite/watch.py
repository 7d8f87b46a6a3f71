"""Asking the zone's servers how they are: all the time without credentials, and for the HA table as the user."""

import asyncio
from collections.abc import Sequence
from urllib.parse import urlsplit

import aiohttp
import msgspec

from services.common import logs
from services.common.oned import OnedClient, OnedError, OnedUnavailable, OnedUnknown
from services.sunstone_lite import zone
from services.sunstone_lite.items import parse
from services.sunstone_lite.zone import AWAY, RAFT_STATES, REACHABLE, Overview, Peer, Role, Status

EVERY_S = 1.0
PROBE_TIMEOUT_S = 0.8
STATUS_TIMEOUT_S = 1.0
ANSWER_MAX = 65_536
LOCAL_ZONE = 0

log = logs.get("sunstone.watch")


class _Health(msgspec.Struct, frozen=True):
    """The part of a server's `GET /healthz` that is of use here; a daemon that has none of it is merely reachable."""

    role: str = ""
    term: int = -1
    applied: int = -1
    commit: int = -1


class _Leader(msgspec.Struct, frozen=True):
    """The part of `GET /leader` that is of use here: what the leader is called."""

    leader: bool = False
    name: str | None = None


class Watch:
    """The latest health of every configured oned, asked once a second over plain HTTP. One task owns it."""

    def __init__(self, endpoints: Sequence[str]) -> None:
        """`endpoints` are XML-RPC addresses; their hosts serve `/healthz` too."""
        self.endpoints = tuple(endpoints)
        self.known: dict[str, Status] = dict.fromkeys(endpoints, AWAY)
        self.names: dict[str, str] = {}

    @property
    def reachable(self) -> int:
        """How many servers answer."""
        return sum(status.role != "away" for status in self.known.values())

    @property
    def leader(self) -> str | None:
        """Endpoint of the server that calls itself leader in the highest term."""
        leaders = [(status.term, url) for url, status in self.known.items() if status.role in ("leader", "solo")]
        return max(leaders)[1] if leaders else None

    @property
    def leader_name(self) -> str:
        """The leader as people call it: its name if it says one, else its host; empty without a leader."""
        url = self.leader
        return (self.names.get(url) or urlsplit(url).hostname or "") if url else ""

    @property
    def leaderless(self) -> bool:
        """Whether servers answer, all of them say their role, and none leads."""
        roles = {status.role for status in self.known.values()} - {"away"}
        return bool(roles) and not roles & {"leader", "solo", "unknown"}

    async def run(self) -> None:
        """Keep asking until cancelled."""
        timeout = aiohttp.ClientTimeout(total=PROBE_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            while True:
                await self.look(http)
                await asyncio.sleep(EVERY_S)

    async def look(self, http: aiohttp.ClientSession) -> None:
        """Ask every server once, and a leader not seen before for its name."""
        before = self.leader
        found = await asyncio.gather(*(_health(http, url) for url in self.endpoints))
        self.known = dict(zip(self.endpoints, found, strict=True))
        leader = self.leader
        if leader and leader not in self.names:
            self.names[leader] = await _name(http, leader)
        if leader != before:
            log.info("leader seen", leader=leader, name=self.leader_name)


async def _health(http: aiohttp.ClientSession, endpoint: str) -> Status:
    try:
        health = msgspec.json.decode(await _get(http, endpoint, "/healthz"), type=_Health)
    except msgspec.MsgspecError:
        return REACHABLE
    except (aiohttp.ClientError, OSError, TimeoutError):
        return AWAY
    said = health.role.removeprefix("pre-")  # asking whether to stand is a candidate's state too
    role: Role = next((role for role in RAFT_STATES if role == said), "unknown")
    return Status(role, health.term, health.applied, health.commit)


async def _name(http: aiohttp.ClientSession, endpoint: str) -> str:
    """What the leader at `endpoint` is called; empty if it does not say."""
    try:
        answer = msgspec.json.decode(await _get(http, endpoint, "/leader"), type=_Leader)
    except (msgspec.MsgspecError, aiohttp.ClientError, OSError, TimeoutError):
        return ""
    return answer.name or "" if answer.leader else ""


async def _get(http: aiohttp.ClientSession, endpoint: str, path: str) -> bytes:
    """The body at `path` of the server that has this endpoint, whatever the status."""
    url = urlsplit(endpoint)
    async with http.get(f"{url.scheme}://{url.netloc}{path}", allow_redirects=False) as answer:
        return await answer.content.read(ANSWER_MAX)


async def ask_zone(client: OnedClient, session: str, watch: Watch) -> Overview:
    """The HA table of the local zone: raftstatus of every server as the user, or what the watch knows of it."""
    found = zone.peers(parse(str(await client.call(session, "one.zone.info", LOCAL_ZONE))))
    own = watch.endpoints[0]
    if len(found) == 1 and found[0].server_id < 0:
        # a solo zone's own idea of its endpoint (localhost) need not be the way we reach it
        found = (Peer(found[0].server_id, found[0].name, own),)
    known = await asyncio.gather(*(_status(peer, session, watch) for peer in found))
    return zone.overview(tuple(zip(found, known, strict=True)), own)


async def _status(peer: Peer, session: str, watch: Watch) -> Status:
    client = OnedClient([peer.endpoint], timeout_s=STATUS_TIMEOUT_S)
    try:
        async with asyncio.timeout(STATUS_TIMEOUT_S):
            return zone.status(parse(str(await client.call(session, "one.zone.raftstatus"))))
    except OnedError:
        # answering, but not to this user: raftstatus wants ADMIN on the zone
        return watch.known.get(peer.endpoint, REACHABLE)
    except (OnedUnavailable, OnedUnknown, TimeoutError, ValueError):
        return AWAY
