"""A whole daemon: database, node, links to peers and HTTP, from settings to a clean end."""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from services.common import logs
from services.common.settings import Address, SettingsError, read_secret
from services.oned_lite.api.catalogue import METHODS, TABLES
from services.oned_lite.api.configuration import configuration, default_configuration
from services.oned_lite.drivers.port import Driver
from services.oned_lite.drivers.registry import local_drivers
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.zone import ZoneServer, usual_peer_address
from services.oned_lite.node.settings import NodeSettings
from services.oned_lite.raft.types import RaftConfig
from services.oned_lite.storage.port import Storage, StorageError
from services.oned_lite.storage.sqlite import SqliteStorage

from . import oned_conf
from .calls import Api
from .clock import Clock
from .engine import Engine, Fatal
from .http import HttpLimits
from .listener import HttpServer, open_socket
from .pages import pages
from .role_hooks import RoleHooks
from .settings import MariadbSettings, OnedSettings, ServerSettings, SqliteSettings

if TYPE_CHECKING:
    from .control.endpoint import ControlEndpoint
    from .publisher import Publisher

log = logs.get("oned")
DEFAULT_CREDENTIALS = "oneadmin:opennebula"
ANSWERS_GRACE_S = 1.0
CATCH_UP_S = 2.0
MEGABYTE = 1 << 20


class CannotStart(Exception):
    """One clear line that says what to do."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Of the first user."""

    user: str
    password: str

    @property
    def text(self) -> str:
        return f"{self.user}:{self.password}"


def read_credentials(path: Path | None) -> Credentials:
    """Raises CannotStart."""
    try:
        text = DEFAULT_CREDENTIALS if path is None else read_secret(path)
    except SettingsError as error:
        raise CannotStart(str(error)) from error
    if path is not None and path.stat().st_mode & 0o077:
        log.warning("others can read the credentials; chmod 600", file=str(path))
    user, colon, password = text.strip().partition(":")
    if not (user and colon and password):
        raise CannotStart(f"{path}: expected one line, USER:PASSWORD")
    return Credentials(user, password)


async def serve(settings: OnedSettings, stop: asyncio.Event) -> int:
    """Runs until `stop`; the process's exit code."""
    try:
        credentials = read_credentials(settings.credentials)
        with DataFolder(settings.data):
            return await _serve(settings, credentials, stop)
    except CannotStart as error:
        log.error("cannot start", reason=str(error))
    except StorageError as error:
        log.error("cannot start: the database", reason=str(error))
    return 1


async def _serve(settings: OnedSettings, credentials: Credentials, stop: asyncio.Event) -> int:
    listening = _listen("listen", settings.listen)
    peer_socket = None if settings.peer_listen is None else _listen("cluster.peer_listen", settings.peer_listen)
    address = Address(settings.listen.host, listening.getsockname()[1])
    clock = Clock()
    control = _control(settings, clock)
    publisher = _publisher(settings.events)
    engine = _engine(settings, credentials, address, clock, control)
    engine.subscribers = publisher
    engine.role_watcher = hooks = RoleHooks(settings.raft.leader_hook, settings.raft.follower_hook)
    background: list[asyncio.Task[None]] = []
    trusted = True
    try:
        if not await _before(stop, engine.load()):
            return 0
        running = asyncio.create_task(engine.run(stop))
        background.append(running)
        if settings.cluster is not None and peer_socket is not None:
            background.append(asyncio.create_task(_links(settings, credentials, engine, peer_socket)))
            background.append(asyncio.create_task(hooks.run(engine.term)))
        await engine.caught_up(CATCH_UP_S)
        http = HttpServer(listening, _http_limits(settings))
        backend = engine if control is None else control.backend(engine)
        api = Api(METHODS, backend, pages(engine, lambda: http.connections))
        background.append(asyncio.create_task(http.run(api)))
        if control is not None:
            background.append(asyncio.create_task(control.run(engine, settings)))
        log.info("serving", listen=str(address), pid=os.getpid())
        await until_ended(running, background)
        await http.stop(ANSWERS_GRACE_S)
    except Fatal as fatal:
        log.critical("stopping at once: this server's state cannot be trusted", reason=str(fatal))
        trusted = False
        return 1
    finally:
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        if settings.cluster is not None:
            await hooks.close()
        await engine.close(trusted=trusted)
        for one in (listening, peer_socket):
            if one is not None:
                one.close()
        if publisher is not None:
            publisher.close()
    log.info("stopped")
    return 0


async def until_ended(node: asyncio.Task[None], parts: Sequence[asyncio.Task[None]]) -> None:
    """Until the node has come to its end. Should another part end before, by a mistake of ours, its error is raised: a
    server that has lost its links or its hooks and goes on would be the worst of all."""
    await asyncio.wait((node, *parts), return_when=asyncio.FIRST_COMPLETED)
    for task in (node, *parts):
        if task.done():
            task.result()
    await node


async def _before(stop: asyncio.Event, work: Coroutine[None, None, None]) -> bool:
    """Does `work` unless `stop` comes first; whether it is done."""
    doing, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait((doing, stopping), return_when=asyncio.FIRST_COMPLETED)
    done = doing.done()
    for task in (doing, stopping):
        task.cancel()
    await asyncio.gather(doing, stopping, return_exceptions=True)
    if done:
        doing.result()
    return done


def _listen(key: str, address: Address) -> socket.socket:
    try:
        return open_socket(address)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CannotStart(f"{key}: cannot listen on {address}: {reason}; is another server running there?") from error


def _control(settings: OnedSettings, clock: Clock) -> ControlEndpoint | None:
    if settings.control is None:
        return None
    from .control.endpoint import ControlEndpoint  # only where it is used

    return ControlEndpoint(_listen("control", settings.control), clock)


def _publisher(address: Address | None) -> Publisher | None:
    if address is None:
        return None
    try:
        from .publisher import Publisher  # only where it is used: its library need not be there
    except ImportError as error:
        raise CannotStart("events: publishing them needs pyzmq: pip install 'onelite[events]'") from error
    try:
        return Publisher(address)
    except OSError as error:
        raise CannotStart(f"events: cannot publish on {address}: {error.strerror}") from error


def _engine(
    settings: OnedSettings,
    credentials: Credentials,
    address: Address,
    clock: Clock,
    control: ControlEndpoint | None,
) -> Engine:
    conf = _configuration(settings, address)
    cluster = settings.cluster
    node = NodeSettings(
        raft=RaftConfig(
            server_id=0 if cluster is None else cluster.server_id,
            election_timeout_ms=settings.raft.election_timeout_ms,
            heartbeat_ms=settings.raft.heartbeat_ms,
        ),
        servers=_zone_servers(settings),
        join=cluster is not None and cluster.join,
        scheduler=settings.scheduler,
        linearizable=frozenset(settings.raft.linearizable),
        events=settings.events is not None,
        log_retention_entries=settings.raft.log_retention_entries,
        log_retention_bytes=settings.raft.log_retention_mb * MEGABYTE,
        admin=credentials.user,
        password=credentials.password,
    )
    drivers: Driver = local_drivers(conf, settings.data.absolute())
    drivers = drivers if control is None else control.drivers(drivers)
    return Engine(node, conf, _storage(settings), drivers, clock)


def _configuration(settings: OnedSettings, address: Address) -> Configuration:
    """What policies and one.system.config go by: the oned.conf, if there is one."""
    folder = (settings.datastores or settings.data / "datastores").absolute()
    if settings.oned_conf is None:
        return default_configuration(
            datastore_location=folder, port=address.port, instead=oned_conf.attributes(settings)
        )
    try:
        given = oned_conf.load(settings.oned_conf).template
        if settings.oned_conf.stat().st_mode & 0o007 and _says_password(settings.database):
            log.warning("others can read the database's password; chmod 640", file=str(settings.oned_conf))
    except (SettingsError, OSError) as error:
        raise CannotStart(str(error)) from error
    return configuration(given, datastore_location=folder, port=address.port)


def _zone_servers(settings: OnedSettings) -> tuple[ZoneServer, ...]:
    servers = () if settings.cluster is None else settings.cluster.servers
    return tuple(ZoneServer(one.id, one.name, one.endpoint, peer=_unusual_peer(one)) for one in servers)


def _unusual_peer(server: ServerSettings) -> str:
    """What need not be written down is not: the zone then reads as oned's."""
    return "" if server.peer_address == usual_peer_address(server.endpoint) else str(server.peer)


def _storage(settings: OnedSettings) -> Storage:
    database = settings.database
    if not isinstance(database, MariadbSettings):
        return SqliteStorage(TABLES, None if database.ephemeral else settings.data)
    from services.oned_lite.storage.mariadb import MariadbStorage  # only where it is used
    from services.oned_lite.storage.mariadb_link import Server

    server = Server(
        user=database.user,
        password=_password(database),
        name=database.name,
        socket=str(database.socket or ""),
        host=database.host,
        port=database.port,
    )
    return MariadbStorage(TABLES, server)


def _says_password(database: SqliteSettings | MariadbSettings) -> bool:
    return isinstance(database, MariadbSettings) and database.password is not None


def _password(database: MariadbSettings) -> str:
    if database.password is not None:
        return database.password.reveal()
    try:
        return "" if database.password_file is None else read_secret(database.password_file)
    except SettingsError as error:
        raise CannotStart(str(error)) from error


def _http_limits(settings: OnedSettings) -> HttpLimits:
    return HttpLimits(
        connections=settings.http.connections,
        body=settings.http.body_mb * MEGABYTE,
        bodies_total=settings.http.bodies_mb * MEGABYTE,
    )


async def _links(settings: OnedSettings, credentials: Credentials, engine: Engine, listening: socket.socket) -> None:
    from .handshake import link_key
    from .peers import PeerLinks

    assert settings.cluster is not None
    key = await asyncio.to_thread(link_key, credentials.text)
    ways = {server.id: server.peer_address for server in settings.cluster.servers}
    links = PeerLinks(settings.cluster.server_id, settings.cluster.own.peer_address, key, engine, ways)
    engine.link(links)
    await links.run(listening)


class DataFolder:
    """The server's own folder, created where it is missing, and locked against a second server."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = -1

    def __enter__(self) -> DataFolder:
        """Raises CannotStart."""
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self._path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise CannotStart(f"data: cannot write to {self._path}: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise CannotStart(f"data: {self._path} is in use by another oned-lite") from error
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            os.close(self._lock)
