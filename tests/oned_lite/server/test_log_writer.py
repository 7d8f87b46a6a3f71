"""Many writes become few commits and leave the same behind."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from services.oned_lite.node.effects import Install, Persist
from services.oned_lite.raft.types import Configuration, Entry, EntryKind, HardState, SnapshotMeta
from services.oned_lite.server.log_writer import Commit, LogWriter, gather, joined
from services.oned_lite.storage.sqlite import SqliteStorage


def entries(first: int, last: int, term: int = 1) -> tuple[Entry, ...]:
    return tuple(Entry(index, term, EntryKind.DATA, b"") for index in range(first, last + 1))


def snapshot(index: int) -> Install:
    return Install(SnapshotMeta(index, 1, Configuration(voters=(0,))), ())


def test_the_last_term_and_all_entries_go_in_one_commit() -> None:
    writes = [
        Persist(1, HardState(1, 0), None, entries(1, 2)),
        Persist(2, None, None, entries(3, 3)),
        Persist(3, HardState(2, 1), None, ()),
    ]
    assert gather(writes) == [Commit(HardState(2, 1), entries(1, 3), None)]


def test_a_later_write_cuts_what_it_conflicts_with() -> None:
    assert joined(entries(5, 7, 1), entries(6, 6, 2)) == (*entries(5, 5, 1), *entries(6, 6, 2))
    assert joined(entries(5, 7, 1), entries(4, 4, 2)) == entries(4, 4, 2)


def test_a_snapshot_ends_a_commit_and_makes_the_entries_before_it_needless() -> None:
    writes = [Persist(1, HardState(3, None), None, entries(1, 2)), Persist(2, None, snapshot(10), entries(11, 12))]
    assert gather(writes) == [Commit(HardState(3, None), (), snapshot(10)), Commit(None, entries(11, 12), None)]


@st.composite
def logs(draw: st.DrawFn) -> list[Persist]:
    writes, last = [], 0
    for ticket in range(1, draw(st.integers(1, 12)) + 1):
        if draw(st.integers(0, 9)) == 0:
            last += 5
            writes.append(Persist(ticket, None, snapshot(last), ()))
            continue
        base = max((write.install.meta.index for write in writes if write.install), default=0)
        first = draw(st.integers(base + 1, last + 1))
        last = first + draw(st.integers(0, 4))
        writes.append(Persist(ticket, HardState(ticket, None), None, entries(first, last, ticket)))
    return writes


def written(commits: list[Commit]) -> tuple[HardState | None, dict[int, Entry]]:
    """What a database holds after these commits."""
    hard_state: HardState | None = None
    log: dict[int, Entry] = {}
    for commit in commits:
        hard_state = commit.hard_state or hard_state
        if commit.entries:
            log = {index: entry for index, entry in log.items() if index < commit.entries[0].index}
            log |= {entry.index: entry for entry in commit.entries}
        if commit.install is not None:
            log = {}
    return hard_state, log


@given(logs())
def test_gathered_commits_leave_what_single_ones_would(writes: list[Persist]) -> None:
    one_by_one = [commit for write in writes for commit in gather([write])]
    assert written(gather(writes)) == written(one_by_one)


async def test_writes_that_come_during_a_commit_share_the_next() -> None:
    storage = SqliteStorage((), None)
    await storage.load()
    tickets: list[int] = []
    done = asyncio.Event()

    def persisted(ticket: int) -> None:
        tickets.append(ticket)
        if ticket == 100:
            done.set()

    async def install(install: Install) -> None:
        await storage.install(install.meta, install.rows)

    writer = LogWriter(storage, install, persisted)
    task = asyncio.create_task(writer.run())
    writer.add(Persist(1, HardState(1, None), None, entries(1, 1)))
    await asyncio.sleep(0)
    for number in range(2, 101):
        writer.add(Persist(number, None, None, entries(number, number)))
    async with asyncio.timeout(10):
        await done.wait()
    task.cancel()

    assert len(tickets) <= 3
    assert (await storage.load()).entries == entries(1, 100)
    await storage.close()
