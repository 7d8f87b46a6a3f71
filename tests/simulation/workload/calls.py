"""One call of a client: it ends ok, failed (nothing has happened) or unknown."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from services.common.xmlrpc import Value
from services.oned_lite.model.errors import ErrorCode

from ..world import World

ADMIN = "oneadmin:opennebula"
GIVE_UP_US = 4_000_000
Done = Callable[[str, Value], None]
"""Gets the outcome and the value, or the error's text."""


class Calls:
    """Sends calls to any server, as clients behind a balancer do."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rng: random.Random = world.rng("targets")

    def call(
        self,
        method: str,
        arguments: Sequence[Value],
        done: Done,
        *,
        session: str = ADMIN,
        linearizable: bool = False,
        through: int | None = None,
        give_up_us: int = GIVE_UP_US,
    ) -> None:
        """`done` is called exactly once."""
        world = self._world
        target = self._rng.choice(sorted(world.machines)) if through is None else through
        finished = False

        def end(outcome: str, value: Value) -> None:
            nonlocal finished
            if not finished:
                finished = True
                world.coverage.hit({"ok": "acknowledged", "failed": "refused"}.get(outcome, outcome))
                if outcome == "failed" and "limit of" in str(value):
                    world.coverage.hit("over quota")
                done(outcome, value)

        def answered(answer: Value) -> None:
            assert isinstance(answer, list), answer
            end(_outcome(answer), answer[1])

        if world.request(target, method, [session, *arguments], answered, linearizable=linearizable):
            world.timeline.after(give_up_us, lambda: end("unknown", None))
        else:
            world.timeline.after(1_000, lambda: end("failed", "nobody listens"))


def _outcome(answer: list[Value]) -> str:
    """What a handler refuses has not happened; what consensus could not finish may have."""
    if answer[0] is True:
        return "ok"
    if answer[2] != ErrorCode.INTERNAL or "Cannot process request" in str(answer[1]):
        return "failed"
    return "unknown"
