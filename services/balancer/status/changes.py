"""Changes of groups while the balancer runs, and their state file."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from services.balancer.core.addresses import EXPECTED, valid_address
from services.balancer.core.groups import Group, by_address
from services.balancer.core.peers import Peer, PeerSettings, Verdict
from services.balancer.fleet import Fleet
from services.common import logs


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


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """Servers of groups that were changed at run time; verdicts by group and address."""

    groups: dict[str, list[_SavedServer]]
    verdicts: dict[str, dict[str, Verdict]] = {}

    def check(self) -> None:
        """Raises ValueError for servers that cannot be."""
        for server in (server for servers in self.groups.values() for server in servers):
            if not valid_address(server.settings.address):
                raise ValueError(f"{EXPECTED}, got {server.settings.address!r}")
            _check(dataclasses.asdict(server.settings))


class Changes:
    """Applies changes to the groups of record; raises LookupError for what is not there, ValueError for bad values."""

    def __init__(self, fleet: Fleet, state_file: Path | None) -> None:
        self.fleet = fleet
        self._state_file = state_file
        self._touched: set[str] = set()
        self._log = logs.get("changes")
        self.saving = True  # whether the state file is this process' to write

    def group(self, name: str) -> Group:
        group = self.fleet.groups.get(name)
        if group is None:
            raise LookupError(f"no upstream named {name}")
        return group

    def peer(self, name: str, peer_id: int) -> Peer:
        found = next((peer for peer in self.group(name).peers if peer.id == peer_id), None)
        if found is None:
            raise LookupError(f"upstream {name} has no server {peer_id}")
        return found

    def add(self, name: str, settings: PeerSettings) -> Peer:
        peer = self.group(name).add(settings)
        self._changed(name)
        return peer

    def remove(self, name: str, peer_id: int) -> None:
        group, peer = self.group(name), self.peer(name, peer_id)
        if len(group.peers) == 1:
            raise ValueError(f"{peer.address} is the last server of {name}; mark it down instead")
        group.remove(peer)
        self._changed(name)

    def change(self, name: str, peer_id: int, change: ServerChange) -> Peer:
        group, peer = self.group(name), self.peer(name, peer_id)
        fields = {f: v for f in change.__struct_fields__ if (v := getattr(change, f)) is not None and f != "drain"}
        _check(fields)
        if fields:
            peer.configure(dataclasses.replace(peer.settings, **fields))
        if change.drain is not None:
            peer.draining = change.drain
        group.refresh()
        self._changed(name)
        return peer

    def _changed(self, name: str) -> None:
        self._touched.add(name)
        self.fleet.changed(name)
        self._save()

    def judged(self, group: Group) -> None:
        """A verdict changed; it is kept when a check of the group is ``persistent``."""
        if _persistent(group):
            self._save()

    # Persistence

    def _save(self) -> None:
        """Changes are in force whether or not they can be kept: a full disk must not stop the one who balances."""
        if self._state_file is not None and self.saving:
            fresh = self._state_file.with_name(self._state_file.name + ".new")
            try:
                fresh.write_bytes(msgspec.json.encode(self._standing(_persistent)))
                fresh.replace(self._state_file)
            except OSError as error:
                self._log.error("changes are in force, but not kept in the state file", reason=str(error))

    def saved(self) -> Saved:
        """All changes and verdicts, for a successor."""
        return self._standing(lambda group: bool(group.settings.checks))

    def _standing(self, with_verdicts: Callable[[Group], bool]) -> Saved:
        groups = self.fleet.groups
        return Saved(
            groups={
                name: [_SavedServer(settings=peer.settings, drain=peer.draining) for peer in groups[name].peers]
                for name in sorted(self._touched & groups.keys())
            },
            verdicts={
                name: {peer.address: peer.verdict for peer in group.peers}
                for name, group in groups.items()
                if with_verdicts(group)
            },
        )

    def read(self) -> Saved | None:
        """What the state file says; ValueError when it cannot be read."""
        if self._state_file is None:
            return None
        try:
            saved = msgspec.json.decode(self._state_file.read_bytes(), type=Saved)
        except FileNotFoundError:
            return None
        saved.check()
        return saved

    def restore(self, handed_over: Saved | None = None) -> None:
        """Bring back what was handed over, else what an earlier run saved; ValueError when that cannot be read.

        After a start or a reload, before others are told of the groups.
        """
        saved = handed_over or self.read()
        if saved is None:
            return
        for name, servers in saved.groups.items():
            if name in self.fleet.groups and servers:
                self._touched.add(name)
                self._restore_group(self.group(name), servers)
        for name, verdicts in saved.verdicts.items():
            if name in self.fleet.groups:
                self._restore_verdicts(self.group(name), verdicts)

    def restore_switches(self, saved: Saved) -> None:
        """Bring back what a reload keeps of changes: verdicts, and who drains."""
        for name in saved.groups.keys() & self.fleet.groups.keys():
            self._touched.add(name)
            for server in saved.groups[name]:
                peer = by_address(self.group(name).peers, server.settings.address)
                if peer is not None:
                    peer.draining = server.drain
            self.group(name).refresh()
        for name in saved.verdicts.keys() & self.fleet.groups.keys():
            self._restore_verdicts(self.group(name), saved.verdicts[name])

    def _restore_verdicts(self, group: Group, verdicts: dict[str, Verdict]) -> None:
        if group.settings.checks:
            for peer in group.peers:
                peer.verdict = verdicts.get(peer.address, peer.verdict)
            group.refresh()

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


def _check(fields: Mapping[str, object]) -> None:
    numbers = {name: value for name, value in fields.items() if isinstance(value, int | float) and value is not True}
    if any(value < (name == "weight") for name, value in numbers.items()):
        raise ValueError("weight is at least 1; the other numbers are not negative")


def _persistent(group: Group) -> bool:
    return any(check.persistent for check in group.settings.checks)
