"""``limit_req_zone`` and ``limit_req`` of an nginx.conf."""

from __future__ import annotations

import re

from msgspec.structs import replace

from services.balancer.nginx.directives import Directive, Problems, size
from services.balancer.settings import RateLimit

_RATE = re.compile(r"rate=(\d+)r/([sm])")
_STATE_BYTES = 128  # of one key in nginx's memory
_NOT_SHARED = "servers of nginx do not share what they know with this one"


class RateReader:
    """Reads the zones first, then the limits that name them."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._zones: dict[str, RateLimit] = {}

    def zone(self, directive: Directive) -> None:
        key, *rest = directive.args
        name, room = next((a.removeprefix("zone=") for a in rest if a.startswith("zone=")), "").partition(":")[::2]
        found = next(filter(None, map(_RATE.fullmatch, rest)), None)
        if "sync" in rest:
            self._problems.add(directive, _NOT_SHARED)
        elif not name or found is None or not int(found[1]) or len(rest) != 2:
            self._problems.wrong(directive, "KEY zone=NAME:SIZE and a rate such as rate=10r/s or rate=30r/m")
            found = None
        per_s = int(found[1]) * 1000 // (1 if found[2] == "s" else 60) / 1000 if found is not None else 1.0
        self._zones[name] = RateLimit(
            key=self._problems.template(directive, key),
            per_s=max(per_s, 0.001),
            zone=name,
            keys=max(1, size(directive, self._problems, room) // _STATE_BYTES) if found is not None else 1,
        )

    def limit(self, directive: Directive) -> RateLimit | None:
        """A ``limit_req``, or None after a problem."""
        limit: RateLimit | None = None
        given = dict(argument.partition("=")[::2] for argument in directive.args)
        zone, burst, delay = given.pop("zone", ""), given.pop("burst", "0"), given.pop("delay", "0")
        nodelay = given.pop("nodelay", None) is not None
        if zone not in self._zones:
            self._problems.add(directive, f"there is no limit_req_zone named {zone!r}")
        elif given or not burst.isdigit() or not delay.isdigit():
            self._problems.wrong(directive, "zone=NAME, perhaps with burst=NUMBER and nodelay or delay=NUMBER")
        else:
            limit = replace(self._zones[zone], burst=int(burst), undelayed="all" if nodelay else int(delay))
        return limit
