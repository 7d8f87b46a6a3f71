"""Computing showback from history records: pure arithmetic on times, sizes and costs."""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from services.common.template import Template, Vector
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.history import History
from services.oned_lite.model.showback import Showback
from services.oned_lite.model.vm import Vm, vm_then

HOUR_S = 3600.0
COSTS = ("CPU_COST", "MEMORY_COST", "DISK_COST")


@dataclass(frozen=True, slots=True)
class Month:
    """`start` and `end` in epoch seconds, UTC; the end is the next month's start."""

    year: int
    month: int

    @property
    def start(self) -> int:
        return calendar.timegm((self.year, self.month, 1, 0, 0, 0))

    @property
    def end(self) -> int:
        return self.following.start

    @property
    def following(self) -> Month:
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    @staticmethod
    def of(at: int) -> Month:
        date = time.gmtime(at)
        return Month(date.tm_year, date.tm_mon)


def months(first: Month, last: Month) -> Iterator[Month]:
    current = first
    while (current.year, current.month) <= (last.year, last.month):
        yield current
        current = current.following


def computed(vm: Vm, records: Iterable[History], span: tuple[int, int], conf: Configuration) -> list[Showback]:
    """The VM's lines for every month of `span` (epoch seconds, from and until) in which it was on a host."""
    lines: dict[Month, Showback] = {}
    for record in records:
        begin, until = max(record.stime, span[0]), min(record.etime or span[1], span[1])
        if until < begin:
            continue
        for month in months(Month.of(begin), Month.of(until)):
            line = lines.get(month) or _blank(vm, month)
            lines[month] = _added(line, record, (max(begin, month.start), min(until, month.end)), conf)
    return list(lines.values())


def _blank(vm: Vm, month: Month) -> Showback:
    return Showback(
        vid=vm.oid,
        year=month.year,
        month=month.month,
        vm_name=vm.name,
        uid=vm.uid,
        gid=vm.gid,
        uname=vm.uname,
        gname=vm.gname,
    )


def _added(line: Showback, record: History, within: tuple[int, int], conf: Configuration) -> Showback:
    """The line with what the record costs between two moments."""
    template = vm_then(record).template if record.vm else Template()
    hours = (within[1] - within[0]) / HOUR_S
    running = _overlap(record.rstime, record.retime, within) / HOUR_S
    charged = running if conf.template.get_bool("SHOWBACK_ONLY_RUNNING", False) else hours
    cpu, memory, disk = (_cost(template, name, conf) for name in COSTS)
    disk_mb = sum(one.get_int("SIZE", 0) for one in template.vectors("DISK"))
    return replace(
        line,
        hours=line.hours + hours,
        running_hours=line.running_hours + running,
        cpu_cost=line.cpu_cost + cpu * template.get_float("CPU", 0.0) * charged,
        memory_cost=line.memory_cost + memory * template.get_float("MEMORY", 0.0) * charged,
        disk_cost=line.disk_cost + disk * disk_mb * charged,
    )


def _overlap(start: int, end: int, within: tuple[int, int]) -> int:
    """Seconds; an interval that never started has none, one that has not ended lasts."""
    if not start:
        return 0
    return max(0, min(end or within[1], within[1]) - max(start, within[0]))


def _cost(template: Template, name: str, conf: Configuration) -> float:
    default = (conf.template.vector("DEFAULT_COST") or Vector()).get_float(name, 0.0)
    return template.get_float(name, default)
