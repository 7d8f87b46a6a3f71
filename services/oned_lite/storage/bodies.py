"""The `body` column: an object's XML, for people who look into the tables. The daemon itself never reads it."""

from __future__ import annotations

from services.common import logs
from services.oned_lite.model.kinds import kinds
from services.oned_lite.state import Change, Reader

log = logs.get("storage")


class Bodies:
    """Renders rows of all kinds."""

    def __init__(self) -> None:
        self._kinds = kinds()

    def render(self, reader: Reader, change: Change) -> str:
        """The XML of the row as it is now; empty where it is gone, or its table has no XML."""
        kind = self._kinds.get(change.table)
        if kind is None or change.row is None:
            return ""
        row = reader.get(kind.table, change.key)
        try:
            return "" if row is None else kind.render(reader, row)
        except Exception:
            log.exception("cannot render a row's body", table=change.table, key=change.key)
            return ""  # a decoration must not keep the row itself out of the database
