"""Request bodies: decoded as they arrive, so that what goes upstream is framed by us alone."""

from __future__ import annotations

from services.balancer.wire.chunked import ChunkedScanner
from services.balancer.wire.request import RequestHead


class BodyReader:
    """Takes the bytes after a head until the body is ``complete``; ``taken`` counts them as they came."""

    __slots__ = ("_left", "_scanner", "complete", "taken")

    def __init__(self, request: RequestHead) -> None:
        self._left = request.length or 0
        self._scanner = ChunkedScanner() if request.chunked else None
        self.complete = not request.has_body
        self.taken = 0

    def feed(self, data: bytes) -> tuple[bytes, int]:
        """Return the payload and how many bytes of ``data`` belong to the body; raises FramingError."""
        if self._scanner is None:
            taken = data[: self._left] if len(data) > self._left else data
            self._left -= len(taken)
            self.complete = not self._left
            self.taken += len(taken)
            return taken, len(taken)
        payload: list[bytes] = []
        used = self._scanner.feed(data, payload)
        self.complete = self._scanner.done
        self.taken += used
        return b"".join(payload), used
