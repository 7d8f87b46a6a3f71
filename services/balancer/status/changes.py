"""Changes of groups while the balancer runs, persisted when a state file is configured."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from services.balancer.core.groups import Group, by_address
from services.balancer.core.peers import Peer, PeerSettings
from services.balancer.server import Balancer


class ServerChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may change of a running server; what is left out stays."""

    weight: int | None = None
    max_fails: int | None = None
    fail_timeout_s: int | None = None
    max_conns: int | None = None
    slow_start_s: float | None = None
    down: bool | None = None
    drain: bool | None = None


class _SavedServer(msgspec.Struct, frozen=True, kw_only=True):
    settings: PeerSettings
    drain: bool = False


class _Saved(msgspec.Struct, frozen=True, kw_only=True):
    groups: dict[str, list[_SavedServer]]


class Changes:
    """Applies changes to the engine's groups; raises LookupError for what is not there, ValueError for bad values."""

    def __init__(self, balancer: Balancer, state_file: Path | None) -> None:
        self._balancer = balancer
        self._state_file = state_file

    def group(self, name: str) -> Group:
        pool = self._balancer.engine.pools.get(name)
        if pool is None:
            raise LookupError(f"no upstream named {name}")
        return pool.group

    def peer(self, name: str, peer_id: int) -> Peer:
        found = next((peer for peer in self.group(name).peers if peer.id == peer_id), None)
        if found is None:
            raise LookupError(f"upstream {name} has no server {peer_id}")
        return found

    def add(self, name: str, settings: PeerSettings) -> Peer:
        peer = self.group(name).add(settings)
        self._changed()
        return peer

    def remove(self, name: str, peer_id: int) -> None:
        group, peer = self.group(name), self.peer(name, peer_id)
        if len(group.peers) == 1:
            raise ValueError(f"{peer.address} is the last server of {name}; mark it down instead")
        group.remove(peer)
        self._balancer.engine.pools[name].close_gone()
        self._changed()

    def change(self, name: str, peer_id: int, change: ServerChange) -> Peer:
        group, peer = self.group(name), self.peer(name, peer_id)
        fields = {f: v for f in change.__struct_fields__ if (v := getattr(change, f)) is not None and f != "drain"}
        if any(not isinstance(value, bool) and value < (field == "weight") for field, value in fields.items()):
            raise ValueError("weight is at least 1; the other numbers are not negative")
        if fields:
            peer.configure(_replaced(peer, fields))
        if change.drain is not None:
            peer.draining = change.drain
        group.refresh()
        self._changed()
        return peer

    def _changed(self) -> None:
        self._balancer.prober.reconcile()
        if self._state_file is not None:
            self._save(self._state_file)

    # Persistence

    def _save(self, path: Path) -> None:
        groups = {
            group.name: [_SavedServer(settings=peer.settings, drain=peer.draining) for peer in group.peers]
            for group in self._balancer.engine.groups()
        }
        fresh = path.with_name(path.name + ".new")
        fresh.write_bytes(msgspec.json.encode(_Saved(groups=groups)))
        fresh.replace(path)

    def restore(self) -> None:
        """Bring back what an earlier run saved; a file that cannot be read raises ValueError."""
        if self._state_file is None:
            return
        with contextlib.suppress(FileNotFoundError):
            saved = msgspec.json.decode(self._state_file.read_bytes(), type=_Saved)
            for name, servers in saved.groups.items():
                if name in self._balancer.engine.pools and servers:
                    self._restore_group(self.group(name), servers)
            self._balancer.prober.reconcile()

    def _restore_group(self, group: Group, servers: list[_SavedServer]) -> None:
        for server in servers:
            peer = by_address(group.peers, server.settings.address)
            if peer is None:
                peer = group.add(server.settings)
            else:
                peer.configure(server.settings)
            peer.draining = server.drain
        wanted = {server.settings.address for server in servers}
        for peer in [peer for peer in group.peers if peer.address not in wanted]:
            group.remove(peer)
        group.refresh()


def _replaced(peer: Peer, fields: dict[str, int | float | bool]) -> PeerSettings:
    current = {name: getattr(peer.settings, name) for name in PeerSettings.__slots__}
    return PeerSettings(**{**current, **fields})
