"""Structured logs on stderr: one event to a line, as text for people or as JSON for collectors.

Logs of libraries that use the standard module come out the same way. Values under names that hold secrets are masked.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, Literal, TextIO, TypeAlias, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger

Logger: TypeAlias = FilteringBoundLogger

LEVELS = ("debug", "info", "warning", "error", "critical")

_SECRET = re.compile(r"passw|secret|token|cookie|credential|authorization|^session$", re.IGNORECASE)
_PLAIN = re.compile(r"[^\s\"=\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def setup(service: str, level: str = "info", style: Literal["text", "json"] = "text") -> None:
    """Send all logs of this process from `level` up to stderr. ValueError for a level that does not exist."""
    if level not in LEVELS:
        raise ValueError(f"log level is one of {', '.join(LEVELS)}, not {level!r}")
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _name_of_part,
        _mask_secrets,
    ]
    renderer = _text if style == "text" else _json(service)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _Lossy(sys.stderr))),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_name_of_library, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(level=max(threshold, logging.WARNING), handlers=[handler], force=True)


def get(name: str) -> Logger:
    """The logger of a part of a service: `log = get("raft")`, then `log.info("became leader", term=3)`."""
    return cast(Logger, structlog.get_logger(part=name))


class _Lossy:
    """A stream that a full disk, or a reader that is gone, costs lines and not the service."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def _name_of_part(logger: Any, method: str, event: EventDict) -> EventDict:
    if "part" in event:  # structlog keeps the name `logger` for itself until here
        event["logger"] = event.pop("part")
    return event


def _name_of_library(logger: Any, method: str, event: EventDict) -> EventDict:
    event["logger"] = event["_record"].name
    return event


def _mask_secrets(logger: Any, method: str, event: EventDict) -> EventDict:
    for name in event:
        if _SECRET.search(name):
            event[name] = "***"
    return event


def _text(logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
    """`2026-01-31T12:00:00.000000Z info     raft: became leader  term=3`, then a traceback if there is one."""
    event = dict(event)
    time, level, name = event.pop("timestamp"), event.pop("level"), event.pop("logger", "-")
    message, traceback = str(event.pop("event")), event.pop("exception", None)
    if not message.isprintable():  # a line break in it could pass for a line of its own
        message = json.dumps(message)
    fields = "".join([f" {key}={_field(value)}" for key, value in event.items()])
    line = f"{time} {level:<8} {name}: {message}{' ' if fields else ''}{fields}"
    return f"{line}\n{traceback}" if traceback else line


def _json(service: str) -> structlog.typing.Processor:
    def render(logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
        return json.dumps({"service": service, **event}, default=str)

    return render


def _field(value: object) -> str:
    text = value if isinstance(value, str) else str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=not text.isprintable())
