"""Scheduled actions: what is to be done to a VM (or by a backup job) at a time, once or again and again."""

from __future__ import annotations

from collections.abc import Hashable

import msgspec

from services.common.template import escape
from services.oned_lite.state import Reader, Table
from services.oned_lite.state.table import rows

from .xml import element

UNSET = -1
VM_PARENT, BACKUPJOB_PARENT = "VM", "BACKUPJOB"


class ScheduledAction(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`parent_type` VM or BACKUPJOB. `time` in epoch seconds.

    `repeat`: 0 weekly, 1 monthly, 2 yearly, 3 hourly; `end_type`: 0 never, 1 after `end_value` times, 2 at `end_value`.
    `done`: when it last ran; `message`: why it last failed.
    """

    oid: int
    parent_id: int
    parent_type: str
    action: str = ""
    args: str = ""
    time: int = UNSET
    repeat: int = UNSET
    days: str = ""
    end_type: int = UNSET
    end_value: int = UNSET
    done: int = UNSET
    message: str = ""

    def to_xml(self) -> str:
        return (
            "<SCHED_ACTION>"
            + "".join(
                element(tag, value)
                for tag, value in (
                    ("ID", self.oid),
                    ("PARENT_ID", self.parent_id),
                    ("TYPE", self.parent_type),
                    ("ACTION", escape(self.action)),
                    ("ARGS", escape(self.args)),
                    ("TIME", self.time),
                    ("REPEAT", self.repeat),
                    ("DAYS", escape(self.days)),
                    ("END_TYPE", self.end_type),
                    ("END_VALUE", self.end_value),
                    ("DONE", self.done),
                    ("MESSAGE", escape(self.message)),
                )
            )
            + "</SCHED_ACTION>"
        )


def _by_parent(row: ScheduledAction) -> tuple[Hashable, ...]:
    return ((row.parent_type, row.parent_id),)


SCHEDULED_ACTIONS: Table[ScheduledAction] = Table(
    "scheduled_action", ScheduledAction, key=lambda row: row.oid, indexes={"parent": _by_parent}
)


def of_parent(reader: Reader, parent_type: str, parent_id: int) -> list[ScheduledAction]:
    return rows(reader, SCHEDULED_ACTIONS, "parent", (parent_type, parent_id))
