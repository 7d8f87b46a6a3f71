"""Which driver work runs on this server: all that the committed rows require while it leads, none otherwise."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from services.oned_lite.lifecycle.work import Duty, Work, WorkKey, required_work
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.state import Key, Reader

from .effects import Effects


class Supervisor:
    """Compares the work that rows require with the work under way, and asks for the difference."""

    def __init__(self, duties: Sequence[Duty], conf: Configuration) -> None:
        self._duties = {duty.table.name: duty for duty in duties}
        self._conf = conf
        self._running: dict[tuple[str, Key], dict[WorkKey, Work]] = {}

    @property
    def running(self) -> int:
        return sum(len(works) for works in self._running.values())

    def start_all(self, committed: Reader, newest: Reader, effects: Effects) -> None:
        """This server leads now: takes up everything that the rows say should be under way."""
        for duty in self._duties.values():
            for key in committed.find(duty.table, duty.index, True):
                self._refresh(committed, newest, duty, key, effects)

    def stop_all(self, effects: Effects) -> None:
        """It leads no longer. Work under way is told to stop; what it still achieves changes nothing."""
        for works in self._running.values():
            effects.stop.extend(works)
        self._running.clear()

    def row_changed(self, committed: Reader, newest: Reader, table: str, key: Key, effects: Effects) -> None:
        duty = self._duties.get(table)
        if duty is not None:
            self._refresh(committed, newest, duty, key, effects)

    def finish(self, newest: Reader, key: WorkKey) -> tuple[Duty, Work] | None:
        """Takes the work off the list. None where its result no longer matters: nobody waits for it, or the newest state
        (proposals included) says that its row has moved on."""
        works = self._running.get((key.table, key.oid), {})
        work = works.pop(key, None)
        if not works:
            self._running.pop((key.table, key.oid), None)
        duty = self._duties.get(key.table)
        if work is None or duty is None or key not in self._wanted(newest, duty, key.oid):
            return None
        return duty, work

    def again(self, work: Work, delay_s: float, effects: Effects) -> None:
        """Its result led nowhere (no change, or no room for it now): once more after a while."""
        delayed = msgspec.structs.replace(work, delay_s=max(work.delay_s, delay_s))
        self._running.setdefault((work.key.table, work.key.oid), {})[work.key] = delayed
        effects.start.append(delayed)

    def _refresh(self, committed: Reader, newest: Reader, duty: Duty, key: Key, effects: Effects) -> None:
        """Work starts only on what is committed, and not where a proposal in flight already ends it."""
        place = (duty.table.name, key)
        running = self._running.get(place, {})
        wanted = self._wanted(committed, duty, key)
        current = self._wanted(newest, duty, key)
        effects.stop.extend(one for one in running if one not in wanted)
        kept = {one: work for one, work in running.items() if one in wanted}
        started = {one: work for one, work in wanted.items() if one not in kept and one in current}
        effects.start.extend(started.values())
        if kept or started:
            self._running[place] = kept | started
        else:
            self._running.pop(place, None)

    def _wanted(self, reader: Reader, duty: Duty, key: Key) -> dict[WorkKey, Work]:
        return {work.key: work for work in required_work(reader, duty, key, self._conf)}
