"""A process that writes until it is killed and prints what was acknowledged.

`python -m tests.oned_lite.storage.writer DIR`
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from services.oned_lite.raft.types import HardState
from services.oned_lite.storage.port import Storage
from services.oned_lite.storage.sqlite import SqliteStorage

from .rows import TABLES, counter, entries

ENTRIES_PER_STEP = 20


async def write_for_ever(storage: Storage, acknowledged: Callable[[int], None]) -> None:
    """Step n writes term n with 20 entries; the tables follow at their own pace, two rows that must always agree."""
    loaded = await storage.load()
    step = loaded.hard_state.term
    while True:
        step += 1
        last = step * ENTRIES_PER_STEP
        log = storage.persist(HardState(step, None), entries(last - ENTRIES_PER_STEP + 1, last, term=step))
        applied_index = last - ENTRIES_PER_STEP
        rows = (counter("a", applied_index), counter("b", applied_index))
        await asyncio.gather(log, storage.write_rows(applied_index, rows if applied_index else (), {}))
        acknowledged(step)


if __name__ == "__main__":
    asyncio.run(write_for_ever(SqliteStorage(TABLES, Path(sys.argv[1])), lambda step: print(step, flush=True)))
