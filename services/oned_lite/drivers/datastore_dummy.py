"""The dummy datastore: says what a driver would say and touches nothing."""

from __future__ import annotations

from services.oned_lite.lifecycle.work import Work, WorkResult

FIGURES = (("TOTAL_MB", "20480"), ("FREE_MB", "20480"), ("USED_MB", "9720"))
SOURCE = "dummy_path"
SIZE_MB = "1024"
FORMAT = "dummy_format"


class DummyDatastore:
    """Driver ds/dummy (DS_MAD dummy of OpenNebula): every image is `dummy_path`, one read from a PATH is 1024 MB."""

    async def run(self, work: Work) -> WorkResult:
        action = work.argument("ACTION")
        values: tuple[tuple[str, str], ...] = ()
        if action == "monitor":
            values = FIGURES
        elif action == "cp":
            values = (("SOURCE", SOURCE), ("FORMAT", FORMAT), ("SIZE", SIZE_MB))
        elif action == "mkfs":
            values = (("SOURCE", SOURCE), ("FORMAT", work.argument("FORMAT") or "raw"))
        elif action == "clone":
            values = (("SOURCE", SOURCE),)
        return WorkResult(key=work.key, ok=True, values=values)
