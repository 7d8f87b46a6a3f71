"""What a cache server's YAML may say."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from services.common.settings import Address

Seconds = Annotated[float, msgspec.Meta(ge=0)]


class LogSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    level: Literal["debug", "info", "warning", "error"] = "info"
    style: Literal["text", "json"] = "text"


class CacheSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`listen` speaks the Memcached protocol; `status`, where given, answers HTTP `/healthz` and `/metrics`.

    `idle_timeout_s` ends connections that ask nothing (0: never), `stall_timeout_s` those that stop in the middle of a
    command or do not read their answers.
    """

    listen: Address
    status: Address | None = None
    memory_mb: Annotated[int, msgspec.Meta(ge=2, le=1024 * 1024)] = 64
    item_max_kb: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 1023
    connections: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1024
    idle_timeout_s: Seconds = 3600.0
    stall_timeout_s: Seconds = 30.0
    log: LogSettings = LogSettings()
