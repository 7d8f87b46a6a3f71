"""What a driver is."""

from __future__ import annotations

from typing import Protocol

from services.oned_lite.lifecycle.work import Work, WorkResult


class Driver(Protocol):
    """Runs one piece of work. It must be safe to run the same work twice: after a failover the new leader does.

    Never raises for what the outside world does wrong: that is `WorkResult(ok=False, message=…)`.
    """

    async def run(self, work: Work) -> WorkResult: ...
