"""Plans for what was once wrong, under its name. Each mistake has a small test of its own as well; a seed that fails is
added here with the arguments that made it small."""

from __future__ import annotations

from .plan import Plan, plan


def _plan(seed: int, servers: int, *kinds: str) -> Plan:
    return plan(seed, servers=servers, kinds=frozenset(kinds), faulty_us=6_000_000)


REGRESSIONS: dict[str, Plan] = {
    "a leader that was forsaken tells what is no longer true": _plan(1, 3, "forsake"),
    "servers that lost their disks elect one that lacks something": _plan(1, 3, "lost-disk", "crash"),
    "a leader with a stalled disk keeps its writers waiting": _plan(1, 3, "stalled-disk", "pause"),
    "a server that stops is elected and goes on leading": _plan(5, 3, "restart", "hand-over", "stalled-disk"),
    "a leader that has slept is asked to hand over": plan(5170),
    "servers that lost their disks are counted on when another one is removed": plan(5158),
}
