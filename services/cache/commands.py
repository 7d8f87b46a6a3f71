"""Carries out one command on the store and gives the reply, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from services.cache import protocol
from services.cache.protocol import Verb
from services.cache.store import ItemStore, Outcome

VERSION = "1.6.18-lite"
"""The memcached release whose text protocol is spoken; clients read the number to learn what they may use."""


class ProcessFacts(msgspec.Struct, frozen=True):
    """What `stats` says of the process around the store."""

    pid: int
    uptime_s: int
    connections: int
    total_connections: int
    refused_connections: int
    connection_limit: int


def execute(command: protocol.Command, store: ItemStore, now: float, facts: ProcessFacts) -> Iterator[bytes]:
    """Yields the reply. A fetch looks up one key per piece, so that a reply never has to be held as a whole."""
    match command:
        case protocol.Fetch():
            yield from _fetch(command, store, now)
        case protocol.Stats():
            yield from _stats(command, store, now, facts)
        case protocol.Version():
            yield b"VERSION %s\r\n" % VERSION.encode()
        case protocol.Refusal(line, _, forget):
            if forget is not None:
                store.forget(forget)
            yield line
        case protocol.Quit():
            return
        case _:
            reply = _change(command, store, now)
            if not command.noreply:
                yield reply


Change = protocol.Store | protocol.Delete | protocol.Touch | protocol.Adjust | protocol.FlushAll | protocol.Verbosity


def _change(command: Change, store: ItemStore, now: float) -> bytes:
    match command:
        case protocol.Store():
            return _store(command, store, now).value
        case protocol.Delete(key):
            return store.delete(key, now).value
        case protocol.Touch(key, exptime):
            return store.touch(key, exptime, now).value
        case protocol.Adjust(key, delta, down):
            result = store.adjust(key, delta, down, now)
            return result.value if isinstance(result, Outcome) else b"%d\r\n" % result
        case protocol.FlushAll(delay_s):
            store.flush(delay_s, now)
            return b"OK\r\n"
        case protocol.Verbosity():
            return b"OK\r\n"


def _store(command: protocol.Store, store: ItemStore, now: float) -> Outcome:
    key, value, flags, exptime = command.key, command.value, command.flags, command.exptime
    match command.verb:
        case Verb.SET:
            return store.set(key, value, flags, exptime, now)
        case Verb.ADD:
            return store.add(key, value, flags, exptime, now)
        case Verb.REPLACE:
            return store.replace(key, value, flags, exptime, now)
        case Verb.APPEND:
            return store.extend(key, b"", value, now)
        case Verb.PREPEND:
            return store.extend(key, value, b"", now)
        case Verb.CAS:
            return store.cas(key, value, flags, exptime, command.cas_id or 0, now)


def _fetch(command: protocol.Fetch, store: ItemStore, now: float) -> Iterator[bytes]:
    for key in command.keys:
        item = store.get(key, now)
        if command.exptime is not None:
            store.touch(key, command.exptime, now)
        if item is None:
            continue
        cas = b" %d" % item.cas_id if command.with_cas else b""
        yield b"VALUE %s %d %d%s\r\n%s\r\n" % (key, item.flags, len(item.value), cas, item.value)
    yield b"END\r\n"


def _stats(command: protocol.Stats, store: ItemStore, now: float, facts: ProcessFacts) -> Iterator[bytes]:
    match command.topic:
        case b"":
            yield _lines(_general(store, now, facts))
        case b"settings":
            yield _lines(_settings(store, facts))
        case b"items" | b"slabs" | b"sizes":
            yield b"END\r\n"
        case b"reset":
            store.reset_counters()
            yield b"RESET\r\n"
        case _:
            yield protocol.ERROR


def _general(store: ItemStore, now: float, facts: ProcessFacts) -> dict[str, int | str]:
    return {
        "pid": facts.pid,
        "uptime": facts.uptime_s,
        "time": int(now),
        "version": VERSION,
        "pointer_size": 64,
        "max_connections": facts.connection_limit,
        "curr_connections": facts.connections,
        "total_connections": facts.total_connections,
        "rejected_connections": facts.refused_connections,
        **counts(store),
        "threads": 1,
    }


def counts(store: ItemStore) -> dict[str, int]:
    """The store's numbers under the names of memcached's `stats`."""
    return {
        **msgspec.structs.asdict(store.counters),
        "limit_maxbytes": store.memory_limit,
        "bytes": store.bytes_used,
        "curr_items": len(store),
    }


def _settings(store: ItemStore, facts: ProcessFacts) -> dict[str, int | str]:
    return {
        "maxbytes": store.memory_limit,
        "maxconns": facts.connection_limit,
        "item_size_max": store.item_limit,
        "evictions": "on",
        "cas_enabled": "yes",
    }


def _lines(stats: dict[str, int | str]) -> bytes:
    return "".join(f"STAT {name} {value}\r\n" for name, value in stats.items()).encode() + b"END\r\n"
