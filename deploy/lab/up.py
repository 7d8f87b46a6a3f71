"""The `up` command, from the first line it says to the last."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from deploy.lab import bootstrap, lab
from deploy.lab.compilation import compile_balancer
from deploy.lab.definition import Wishes
from deploy.lab.folders import read_pair
from deploy.lab.foreground import Interrupted, stop_everything, until_interrupted, watch
from deploy.lab.lab import Lab, default_folder
from deploy.lab.parts import endpoint
from deploy.lab.status import address_table

Say = Callable[[str], None]


def wishes(arguments: argparse.Namespace) -> Wishes:
    """The options that say what kind of lab is wanted."""
    return Wishes(
        frontends=arguments.frontends,
        db=arguments.db,
        cache=arguments.cache,
        checks=arguments.checks,
        network=arguments.network,
        ports=arguments.ports,
    )


async def up(root: Path, wishes: Wishes, *, detach: bool, demo: bool, compiled: bool, say: Say) -> int:
    """Starts the lab in a folder; unless `detach`, stays and stops it at Ctrl-C. LabError if it cannot start.

    With `compiled`, the balancer is compiled while it stays.
    """
    began = time.monotonic()
    here = lab.make(root, wishes, lambda line: say(f"  {line}"))
    supervisor = here.supervisor
    with supervisor.exclusively():
        say(f"starting {_described(here)}")
        await until_interrupted(_start(here, demo, say))
    say(f"\nready after {time.monotonic() - began:.1f} s\n\n{address_table(here)}\n\n{_what_next(here)}")
    if detach:
        return 0
    say("\nCtrl-C stops everything.\n")
    try:
        await until_interrupted(_stay(here, compiled, say))
    except Interrupted:
        say("\nstopping")
        await stop_everything(supervisor, say)
        return 0
    say("nothing of the lab runs any more")
    return 0


async def _stay(here: Lab, compiled: bool, say: Say) -> None:
    (balancer,) = here.supervisor.topology.select(("balancer",))
    aside = asyncio.create_task(compile_balancer(here.supervisor, balancer, say)) if compiled else None
    try:
        await watch(here.supervisor, say, lambda words: command(here, words))
    finally:
        if aside is not None:
            aside.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await aside


async def _start(here: Lab, demo: bool, say: Say) -> None:
    frontends = here.definition.addresses.frontends
    everything = here.supervisor.topology.processes
    running_before = {sighting.pid for sighting in here.supervisor.look_at_all()}
    await here.supervisor.start(everything)
    try:
        leader = await bootstrap.wait_for_leader([frontend.oned for frontend in frontends])
        say(f"  frontend{leader + 1} leads")
        endpoints = [endpoint(frontend) for frontend in (frontends[leader], *frontends)]
        session = ":".join(here.folder.administrator())
        if not here.definition.prepared:
            _, ui_password = read_pair(here.folder.ui_credentials)
            await bootstrap.prepare(endpoints, session, ui_password)
            here.mark_prepared()
        if demo:
            await bootstrap.create_demo(endpoints, session, say)
    except BaseException:
        fresh = [seen.process for seen in here.supervisor.look_at_all() if seen.pid not in running_before]
        await here.supervisor.clear_away(tuple(fresh))
        raise


def _described(here: Lab) -> str:
    definition = here.definition
    size = f"{definition.frontends} frontend{'s' if definition.frontends > 1 else ''}"
    return f"{size} on {definition.db}, {definition.cache} cache, in {here.folder.root}"


def _what_next(here: Lab) -> str:
    lessons = {
        "zone": "who leads, who follows",
        "kill oned1": "a frontend's daemon dies: the others elect a leader",
        "start oned1": "it comes back and catches up",
        "pause sunstone2": "a web UI hangs: watch the balancer's status page",
        "logs oned1 -f": "what it has to say",
        "--help": "the rest",
    }
    typed = {command(here, words): lesson for words, lesson in lessons.items()}
    width = max(map(len, typed))
    return "\n".join(("  try next", *(f"    {words:<{width}}   {lesson}" for words, lesson in typed.items())))


def command(here: Lab, words: str) -> str:
    """What the user types, from where they are, to have `onelite WORDS` work on this lab."""
    script = Path(sys.executable).parent / "onelite"
    relative = os.path.relpath(script)
    program = "onelite" if shutil.which("onelite") else relative if not relative.startswith("..") else str(script)
    elsewhere = here.folder.root != default_folder().absolute() and not words.startswith("-")
    return f"{program} {words} --dir {shlex.quote(str(here.folder.root))}" if elsewhere else f"{program} {words}"
