"""Showback: what VMs cost, by month (table vm_showback)."""

from __future__ import annotations

from collections.abc import Hashable

import msgspec

from services.oned_lite.state import Table

from .quota import amount
from .xml import element


class Showback(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One VM in one month. Costs in whatever unit CPU_COST and its siblings are meant; `hours` the VM was on a host,
    `running_hours` of them running."""

    vid: int
    year: int
    month: int
    vm_name: str
    uid: int
    gid: int
    uname: str
    gname: str
    cpu_cost: float = 0.0
    memory_cost: float = 0.0
    disk_cost: float = 0.0
    hours: float = 0.0
    running_hours: float = 0.0

    @property
    def total_cost(self) -> float:
        return self.cpu_cost + self.memory_cost + self.disk_cost

    def to_xml(self) -> str:
        fields = (
            ("VMID", self.vid),
            ("VMNAME", self.vm_name),
            ("UID", self.uid),
            ("GID", self.gid),
            ("UNAME", self.uname),
            ("GNAME", self.gname),
            ("YEAR", self.year),
            ("MONTH", self.month),
            ("CPU_COST", amount(self.cpu_cost)),
            ("MEMORY_COST", amount(self.memory_cost)),
            ("DISK_COST", amount(self.disk_cost)),
            ("TOTAL_COST", amount(self.total_cost)),
            ("HOURS", f"{self.hours:.2f}"),
            ("RHOURS", f"{self.running_hours:.2f}"),
        )
        return "<SHOWBACK>" + "".join(element(tag, value) for tag, value in fields) + "</SHOWBACK>"


def _by_vm(row: Showback) -> tuple[Hashable, ...]:
    return (row.vid,)


SHOWBACK: Table[Showback] = Table(
    "vm_showback", Showback, key=lambda row: (row.vid, row.year, row.month), indexes={"vm": _by_vm}
)
