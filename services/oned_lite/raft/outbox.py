"""Collects what the parts of a node want done until the driver takes it."""

from .messages import Message
from .output import Divergence, Install, ReadReady


class Outbox:
    def __init__(self) -> None:
        self.messages: list[tuple[int, Message]] = []
        self.install: Install | None = None
        self.reads: list[ReadReady] = []
        self.failed_reads: list[int] = []
        self.snapshot_wanted: list[int] = []
        self.dropped: list[int] = []
        self.diverged: list[Divergence] = []

    def __bool__(self) -> bool:
        """Whether there is anything in it."""
        wanted = (
            self.messages or self.reads or self.failed_reads or self.snapshot_wanted or self.dropped or self.diverged
        )
        return bool(wanted) or self.install is not None
