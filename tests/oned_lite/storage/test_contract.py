"""What every adapter of the storage port promises."""

from __future__ import annotations

import pytest

from services.oned_lite.raft.types import Configuration, Entry, EntryKind, HardState, encode_configuration
from services.oned_lite.state import Change
from services.oned_lite.storage.port import Storage, StorageError

from .conftest import Opener
from .rows import by_place, counter, entries, note, relation, snapshot, template


async def opened(reopen: Opener) -> Storage:
    storage = reopen()
    await storage.load()
    return storage


async def test_an_empty_database_starts_from_nothing(reopen: Opener) -> None:
    loaded = await reopen().load()

    assert loaded.hard_state == HardState()
    assert loaded.snapshot is None
    assert loaded.entries == ()
    assert loaded.applied_index == 0
    assert loaded.rows == ()


async def test_term_vote_and_entries_come_back(reopen: Opener) -> None:
    storage = await opened(reopen)
    configuration = Entry(4, 7, EntryKind.CONFIGURATION, encode_configuration(Configuration(voters=(0, 1))))
    written = (*entries(1, 2), Entry(3, 7, EntryKind.NOOP, b""), configuration, *entries(5, 5, 7, size=50_000))

    await storage.persist(HardState(7, 2), written)
    loaded = await reopen().load()

    assert loaded.hard_state == HardState(7, 2)
    assert loaded.entries == written


async def test_the_last_term_and_vote_win(reopen: Opener) -> None:
    storage = await opened(reopen)

    await storage.persist(HardState(7, 2), ())
    await storage.persist(None, entries(1, 1))
    await storage.persist(HardState(8, None, emptied=True), ())

    assert (await reopen().load()).hard_state == HardState(8, None, emptied=True)


async def test_a_conflicting_entry_cuts_the_log(reopen: Opener) -> None:
    storage = await opened(reopen)
    await storage.persist(None, entries(1, 10, term=1))

    await storage.persist(None, entries(6, 7, term=2))

    assert (await reopen().load()).entries == (*entries(1, 5, term=1), *entries(6, 7, term=2))


async def test_a_conflict_is_cut_after_a_restart_too(reopen: Opener) -> None:
    await (await opened(reopen)).persist(None, entries(1, 10, term=1))

    storage = await opened(reopen)
    await storage.persist(None, entries(2, 2, term=2))

    assert (await reopen().load()).entries == (*entries(1, 1, term=1), *entries(2, 2, term=2))


async def test_rows_of_every_shape_come_back(reopen: Opener) -> None:
    storage = await opened(reopen)
    await storage.persist(None, entries(1, 3))
    named = template(7, "naïve 'quoted' \"name\" \\ %s 🙂")
    changes = (template(0), named, counter("vm_pool", 41), note(3, 0), relation(0, 100))

    await storage.write_rows(3, changes, {0: "<VMTEMPLATE/>"})
    loaded = await reopen().load()

    assert loaded.applied_index == 3
    assert by_place(loaded.rows) == by_place(changes)


async def test_rows_change_and_go(reopen: Opener) -> None:
    storage = await opened(reopen)
    await storage.persist(None, entries(1, 2))
    await storage.write_rows(1, (template(0), template(1), note(1), note(2), relation(0, 1), relation(0, 2)), {})

    gone = (
        Change("template_pool", 0, None),
        Change("note", (1,), None),
        Change("cluster_datastore_relation", (0, 1), None),
    )
    await storage.write_rows(2, (*gone, template(1, "renamed")), {})

    left = (template(1, "renamed"), note(2), relation(0, 2))
    assert by_place((await reopen().load()).rows) == by_place(left)


async def test_within_one_batch_the_last_version_of_a_row_counts(reopen: Opener) -> None:
    storage = await opened(reopen)
    await storage.persist(None, entries(1, 4))

    deleted = Change("template_pool", 1, None)
    changes = (template(0, "first"), template(1), template(0, "second"), deleted, Change("note", (1,), None), note(1))
    await storage.write_rows(4, changes, {})

    assert by_place((await reopen().load()).rows) == by_place((template(0, "second"), note(1)))


async def test_two_objects_may_swap_names_in_one_batch(reopen: Opener) -> None:
    storage = await opened(reopen)
    await storage.persist(None, entries(1, 2))
    await storage.write_rows(1, (template(0, "a"), template(1, "b")), {})

    swapped = (template(0, "b"), template(1, "a"))
    await storage.write_rows(2, swapped, {})

    assert by_place((await reopen().load()).rows) == by_place(swapped)


async def test_rows_of_unknown_tables_are_left_out(reopen: Opener) -> None:
    storage = await opened(reopen)
    await storage.persist(None, entries(1, 1))

    await storage.write_rows(1, (Change("from_the_future", 1, b"\x80"), template(0)), {})

    assert by_place((await reopen().load()).rows) == by_place((template(0),))


async def test_what_does_not_fit_a_search_column_is_no_obstacle(reopen: Opener) -> None:
    storage = await opened(reopen)
    await storage.persist(None, entries(1, 1))
    odd = (template(0, "ü" * 500), counter("vm_pool", 2**62))

    await storage.write_rows(1, odd, {})

    assert by_place((await reopen().load()).rows) == by_place(odd)


async def test_a_restart_resumes_where_the_tables_are(reopen: Opener) -> None:
    storage = await opened(reopen)
    await storage.persist(HardState(1, 0), entries(1, 5))
    await storage.write_rows(3, (template(0),), {})

    loaded = await reopen().load()

    assert loaded.applied_index == 3
    assert [entry.index for entry in loaded.entries if entry.index > loaded.applied_index] == [4, 5]


async def test_purge_goes_in_small_steps_and_the_log_goes_on(reopen: Opener) -> None:
    storage = await opened(reopen)
    await storage.persist(HardState(1, 0), entries(1, 10))
    await storage.write_rows(9, (template(0),), {})

    assert await storage.purge(snapshot(7), 3) == 3
    loaded = await reopen().load()
    assert loaded.snapshot == snapshot(7)
    assert loaded.entries == entries(8, 10)

    assert [await storage.purge(snapshot(7), 3) for _ in range(3)] == [3, 1, 0]
    await storage.persist(None, entries(11, 11))
    loaded = await reopen().load()
    assert (loaded.snapshot, loaded.entries, loaded.applied_index) == (snapshot(7), entries(8, 11), 9)


async def test_nothing_is_purged_that_the_tables_do_not_hold(reopen: Opener) -> None:
    storage = await opened(reopen)
    await storage.persist(None, entries(1, 10))
    await storage.write_rows(5, (template(0),), {})

    assert await storage.purge(snapshot(7), 100) == 0

    assert (await reopen().load()).entries == entries(1, 10)


async def test_a_log_purged_to_its_end_goes_on(reopen: Opener) -> None:
    storage = await opened(reopen)
    await storage.persist(None, entries(1, 4))
    await storage.write_rows(4, (template(0),), {})
    await storage.purge(snapshot(4), 100)

    storage = await opened(reopen)
    await storage.persist(None, entries(5, 6))

    assert (await reopen().load()).entries == entries(5, 6)


async def test_a_snapshot_replaces_log_and_tables(reopen: Opener) -> None:
    storage = await opened(reopen)
    await storage.persist(HardState(3, 1), entries(1, 10))
    await storage.write_rows(8, (template(0), template(1), note(1)), {})
    rows = (template(1, "other"), counter("vm_pool", 9))

    await storage.install(snapshot(100, term=3), rows)
    loaded = await reopen().load()

    assert loaded.hard_state == HardState(3, 1)
    assert (loaded.snapshot, loaded.entries, loaded.applied_index) == (snapshot(100, term=3), (), 100)
    assert by_place(loaded.rows) == by_place(rows)


async def test_the_log_goes_on_after_a_snapshot(reopen: Opener) -> None:
    storage = await opened(reopen)
    await storage.persist(None, entries(1, 3))
    await storage.install(snapshot(100), (template(0),))

    await storage.persist(None, entries(101, 102, term=4))
    await storage.write_rows(102, (template(1),), {})

    loaded = await reopen().load()
    assert loaded.entries == entries(101, 102, term=4)
    assert by_place(loaded.rows) == by_place((template(0), template(1)))


async def test_thousands_of_rows_and_entries_at_once(reopen: Opener) -> None:
    storage = await opened(reopen)
    rows = tuple(template(oid) for oid in range(3000))

    await storage.persist(None, entries(1, 3000))
    await storage.write_rows(3000, rows, dict.fromkeys(range(3000), "<VMTEMPLATE/>"))

    loaded = await reopen().load()
    assert loaded.entries == entries(1, 3000)
    assert by_place(loaded.rows) == by_place(rows)


async def test_an_entry_of_many_megabytes(reopen: Opener) -> None:
    storage = await opened(reopen)
    large = entries(1, 1, size=24 << 20)

    await storage.persist(None, large)

    assert (await reopen().load()).entries == large


async def test_a_closed_database_refuses_writes(reopen: Opener) -> None:
    storage = await opened(reopen)
    await storage.close()

    with pytest.raises(StorageError):
        await storage.persist(None, entries(1, 1))
