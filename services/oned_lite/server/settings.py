"""What `oned-lite --config FILE` reads, be it YAML or an oned.conf (`oned_conf`)."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from services.common.settings import Address, Secret
from services.oned_lite.model.zone import usual_peer_address

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Milliseconds = Annotated[int, msgspec.Meta(ge=1, le=600_000)]
ENDPOINT_EXAMPLE = "http://HOST:2633/RPC2"


def _must_exist(key: str, path: Path | None) -> None:
    if path is not None and not path.is_file():
        raise ValueError(f"{key}: no such file: {path}")


class LogSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Level and style of the log on stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    style: Literal["text", "json"] = "text"


class SqliteSettings(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="sqlite", tag_field="kind"
):
    """Two files under `data`. `ephemeral` keeps everything in memory instead."""

    ephemeral: bool = False


class MariadbSettings(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="mariadb", tag_field="kind"
):
    """A database of this server's own, by `socket` or by `host` and `port`. It is created where the user may do so.

    The password is in `password_file`, or here as `password`: a file that says it should be readable by the daemon only.
    """

    user: str
    password: Secret | None = None
    password_file: Path | None = None
    name: str = "opennebula"
    socket: Path | None = None
    host: str = "127.0.0.1"
    port: Port = 3306

    def __post_init__(self) -> None:
        if self.password is not None and self.password_file is not None:
            raise ValueError("password: give it, or password_file, not both")
        _must_exist("password_file", self.password_file)


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A server of the zone: `endpoint` for clients, `peer` for the other servers (default: the endpoint's host, and the
    port after its own).

    Where this server reaches another is decided here; the zone only says it of servers that are not listed.
    """

    id: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
    name: str
    endpoint: str
    peer: Address | None = None

    @property
    def peer_address(self) -> Address:
        return self.peer or usual_peer_address(self.endpoint)

    def __post_init__(self) -> None:
        try:
            usual_peer_address(self.endpoint)
        except ValueError:
            raise ValueError(f"endpoint: expected {ENDPOINT_EXAMPLE}, got {self.endpoint!r}") from None
        if not self.endpoint.startswith(("http://", "https://")):
            raise ValueError(f"endpoint: expected {ENDPOINT_EXAMPLE}, got {self.endpoint!r}")


class ClusterSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The membership a fresh cluster begins with; the same list on every server. `peer_listen`: where the others reach
    this one (default: the host of `listen`, and the port of its own `peer`).

    `join`: this server is new in a zone that exists. It begins with nothing, and `servers` are those it finds the zone
    by, and itself under the id that `one.zone.addserver` gave it. Later starts may keep it.
    """

    server_id: int
    peer_listen: Address | None = None
    servers: tuple[ServerSettings, ...] = ()
    join: bool = False

    @property
    def own(self) -> ServerSettings:
        return next(server for server in self.servers if server.id == self.server_id)

    def __post_init__(self) -> None:
        ids = [server.id for server in self.servers]
        if not ids:
            raise ValueError(
                "servers: missing; where an oned.conf says SERVER_ID, a YAML file beside it says where the servers are, as "
                "oned-lite --help shows"
            )
        if len(set(ids)) < len(ids):
            raise ValueError("servers: each needs an id of its own")
        if self.server_id not in ids:
            raise ValueError(f"server_id: {self.server_id} is not among the servers ({', '.join(map(str, ids))})")
        if self.join and len(ids) == 1:
            raise ValueError("join: servers must also name some that are in the zone already")


class RaftSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a follower waits for its leader, and how often a leader shows itself.

    `log_retention_entries`: how many applied entries of the log are kept (in at most `log_retention_mb`) for servers that
    were away; one that needs older ones gets a snapshot. `linearizable`: methods that read (one.vm.info) and must see
    every write acknowledged before, at the price of a round to a majority; without it they are answered from the tables
    of the server asked. `leader_hook`, `follower_hook`: command and arguments, to be run when this server begins or ceases
    to lead; the term is added as last argument.
    """

    election_timeout_ms: Milliseconds = 1000
    heartbeat_ms: Milliseconds = 100
    log_retention_entries: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 20_000
    log_retention_mb: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 64
    linearizable: tuple[str, ...] = ()
    leader_hook: tuple[str, ...] = ()
    follower_hook: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.election_timeout_ms < 3 * self.heartbeat_ms:
            raise ValueError("election_timeout_ms must be at least three times heartbeat_ms")


class HttpSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds for clients. `body_mb` is for one request, `bodies_mb` for all together."""

    connections: Annotated[int, msgspec.Meta(ge=8, le=100_000)] = 2000
    body_mb: Annotated[int, msgspec.Meta(ge=1, le=32)] = 32
    bodies_mb: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 64


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it; of names, `localhost` alone is known to be such."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class OnedSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`data`: this server's own folder; `datastores`: the one all servers share (default: under `data`).

    `credentials`: a file "oneadmin:password", of the first user and, the same on all servers, for the links between
    them. Without `cluster` the server is alone. `control`: where tests may reset and disturb it; off without. `events`:
    where to publish the event stream (OpenNebula's port is 2101); needs pyzmq. `oned_conf`: an oned.conf whose values
    count where this file is silent, and in place of all that OpenNebula ships.
    """

    listen: Address
    data: Path
    oned_conf: Path | None = None
    datastores: Path | None = None
    credentials: Path | None = None
    database: SqliteSettings | MariadbSettings = SqliteSettings()
    cluster: ClusterSettings | None = None
    raft: RaftSettings = RaftSettings()
    scheduler: bool = True
    control: Address | None = None
    events: Address | None = None
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()

    @property
    def peer_listen(self) -> Address | None:
        """Where the other servers reach this one; None where there are none."""
        if self.cluster is None:
            return None
        return self.cluster.peer_listen or Address(self.listen.host, self.cluster.own.peer_address.port)

    def __post_init__(self) -> None:
        if self.cluster is not None and self.credentials is None:
            raise ValueError("credentials: missing; the servers of a cluster know each other by them")
        if self.control is not None and not is_loopback(self.control.host):
            raise ValueError(
                f"control: expected an address of this machine alone, such as 127.0.0.1:0, got {self.control}"
            )
        _must_exist("credentials", self.credentials)
