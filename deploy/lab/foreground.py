"""`up` in the foreground: start, stay and tell what dies, stop everything at Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from deploy.lab.processes import Condition
from deploy.lab.supervisor import Report, Sighting, Supervisor

LOOK_EVERY_S = 0.2


class Interrupted(Exception):
    """The user, or the system, wants the command to end."""


async def until_interrupted(work: Coroutine[Any, Any, None]) -> None:
    """Runs `work` to its end; at SIGINT, SIGTERM or SIGHUP cancels it, lets it clean up, and raises Interrupted."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for signum in signals:
        loop.add_signal_handler(signum, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        raise Interrupted from None
    finally:
        for signum in signals:
            loop.remove_signal_handler(signum)


async def watch(supervisor: Supervisor, report: Report, command: Callable[[str], str]) -> None:
    """Tells of every process that ends, freezes or comes back; returns when none is left.

    `command` turns "start oned1" into what the user has to type for it.
    """
    before = {sighting.process.name: sighting for sighting in supervisor.look_at_all()}
    while any(sighting.condition is not Condition.ENDED for sighting in before.values()):
        await asyncio.sleep(LOOK_EVERY_S)
        for now in supervisor.look_at_all():
            for line in _news(supervisor, before[now.process.name], now, command):
                report(line)
            before[now.process.name] = now


def _news(supervisor: Supervisor, before: Sighting, now: Sighting, command: Callable[[str], str]) -> list[str]:
    name = now.process.name
    if supervisor.was_replaced(before.pid, now.pid):
        return [f"{name} (pid {now.pid}) has taken over from pid {before.pid}"]
    ended = before.condition is not Condition.ENDED and (now.condition is Condition.ENDED or now.pid != before.pid)
    news = []
    if ended and before.pid is not None:
        how = supervisor.how_it_ended(before.pid, now.process)
        advice = f"; bring it back with: {command(f'start {name}')}" if now.condition is Condition.ENDED else ""
        news.append(f"{name} (pid {before.pid}) {how}{advice}")
    if now.condition is not Condition.ENDED and (ended or before.condition is Condition.ENDED):
        news.append(f"{name} runs again (pid {now.pid})")
    elif Condition.PAUSED in (before.condition, now.condition) and before.condition is not now.condition and not ended:
        news.append(f"{name} (pid {now.pid}) {'is paused' if now.condition is Condition.PAUSED else 'goes on'}")
    return news


async def stop_everything(supervisor: Supervisor, report: Report) -> None:
    """Stops the lab; a second Ctrl-C does not wait for anybody."""
    everything = supervisor.topology.processes
    try:
        await until_interrupted(supervisor.stop(everything))
    except Interrupted:
        supervisor.kill(everything)
    report("stopped; the data stays")
