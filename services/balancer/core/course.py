"""A request whose path, query or variables rules and error pages have changed on its way to the route that serves it."""

from __future__ import annotations

import re
from typing import Final

from services.balancer.core.paths import normalise
from services.balancer.wire.fields import Field
from services.balancer.wire.request import FieldBlock, RequestHead

MAX_JUMPS: Final = 10  # nginx's own
_FRAMES: Final = frozenset((b"content-length", b"transfer-encoding", b"expect"))
_NOTHING: Final = re.compile(b"").match(b"")


class Course(RequestHead):
    """The head as it stands now. It changes while rules are followed; what the client asked for stays in ``target``,
    ``path`` and ``first_method``.

    ``uri`` is the decoded path, ``chosen_by`` the one that led to the location; ``values`` are those of variables that
    were set, ``looked_up`` those of maps, ``captured`` is what the latest pattern matched. ``moved``: a location has to be
    chosen anew. ``intact``: the target may go upstream as the client sent it. ``whole``: the path goes upstream as it is,
    whatever the location would put in the place of its prefix. ``internal``: it may enter internal locations. ``turned``:
    an error has led it elsewhere, the next one will not. ``unwanted``: its body was too large, and is not looked at any
    more. ``shown`` is the status that clients are to see, 0 that of the answer.
    """

    __slots__ = (
        "captured",
        "chosen_by",
        "first_method",
        "id",
        "intact",
        "internal",
        "jumps_left",
        "looked_up",
        "moved",
        "shown",
        "turned",
        "unwanted",
        "uri",
        "values",
        "whole",
    )

    def __init__(self, request: RequestHead) -> None:
        super().__init__(request.method, request.target, request.host, request.path, request.query, request.block)
        self.uri = self.chosen_by = normalise(request.path)
        self.first_method = request.method
        self.id = b""
        self.values: dict[str, bytes] = {}
        self.looked_up: dict[str, bytes] = {}
        self.captured: re.Match[bytes] | None = None
        self.intact = True
        self.moved = self.whole = self.internal = self.turned = self.unwanted = False
        self.jumps_left = MAX_JUMPS
        self.shown = 0

    @property
    def size(self) -> int:
        return len(self.first_method) + len(self.target) + 2 + len(self.block.raw)

    def capture(self, found: re.Match[bytes] | None) -> None:
        """From now on numbers mean the groups of this match, and named ones are variables; numbers of None mean nothing."""
        self.captured = found if found is not None else _NOTHING
        if found is not None:
            for name, value in found.groupdict(b"").items():
                self.values[name] = value

    def set_query(self, query: bytes) -> None:
        self.query = query
        self.intact = False

    def rewrite(self, uri: bytes, query: bytes) -> None:
        """Go on with another path; unless ``stay`` is called, to another location."""
        self.uri = uri
        self.set_query(query)
        self.internal = self.moved = True

    def stay(self) -> None:
        """Keep to the location, under whatever path."""
        self.whole = self.whole or self.moved
        self.moved = False

    def jump(self) -> bool:
        """Leave for another location; false when it has done so too often."""
        self.moved = False
        self.jumps_left -= 1
        return self.jumps_left >= 0

    def redirect(self, uri: bytes, query: bytes) -> None:
        """Ask for another path, as an error page is asked for."""
        self.rewrite(uri, query)
        self.moved = self.whole = False
        if self.method != b"HEAD":
            self.method = b"GET"

    def drop_body(self) -> None:
        """Go on without the body, which cannot be sent again; what was said of it can still be asked for."""
        said = self.fields
        fields: list[Field] = [field for field in said if field.name not in _FRAMES]
        self.block = FieldBlock(self.block.raw, self.minor, fields)
        self.block.fields = said


def uri_of(request: RequestHead) -> bytes:
    """The decoded path as it stands now (nginx ``$uri``)."""
    return request.uri if isinstance(request, Course) else normalise(request.path)


def chosen_by(request: RequestHead) -> bytes:
    """The decoded path that led to the location."""
    return request.chosen_by if isinstance(request, Course) else normalise(request.path)


def shown_status(request: RequestHead) -> int:
    """The status that clients are to see whatever answers; 0 is that of the answer."""
    return request.shown if isinstance(request, Course) else 0
