"""Has the balancer compiled while the lab runs, and then replaced in place by one that runs what was compiled.

Nobody waits for it: it works in the background, at the lowest priority, and ends when the command does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import urllib.request
from collections.abc import Callable

from deploy.lab.errors import LabError
from deploy.lab.supervisor import Supervisor
from deploy.lab.topology import HttpProbe, Process

BUILD = (sys.executable, "-m", "services.balancer.mypyc_build")
LOWEST_PRIORITY = 19
ASK_S = 5.0

Say = Callable[[str], None]


async def compile_balancer(
    supervisor: Supervisor, balancer: Process, say: Say, build: tuple[str, ...] = BUILD
) -> None:
    """Nothing where the balancer runs compiled already; what goes wrong is said, and it goes on as it is."""
    if await asyncio.to_thread(code_of, balancer) != "interpreted":
        return
    say("the balancer runs interpreted while its hot path is compiled in the background (--no-compile: not at all)")
    complaint = await _at_leisure(build)
    if complaint:
        say(complaint)
        return
    try:
        await supervisor.replace(balancer)
    except LabError as error:
        say(f"the balancer runs compiled from its next start on; now it could not be replaced: {error}")
        return
    say("the balancer runs compiled now; no connection was lost")


def code_of(balancer: Process) -> str:
    """"compiled" or "interpreted", as it says itself; empty when it does not answer."""
    assert isinstance(balancer.probe, HttpProbe)
    try:
        with urllib.request.urlopen(f"http://{balancer.probe.address}/api/status", timeout=ASK_S) as answer:
            return str(json.load(answer)["code"])
    except OSError:
        return ""


async def _at_leisure(argv: tuple[str, ...]) -> str:
    """Runs a command when nobody else wants the processor; returns its last line when it fails."""
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, start_new_session=True
    )
    try:
        with contextlib.suppress(ProcessLookupError):  # it has nothing to do and is done
            os.setpriority(os.PRIO_PGRP, process.pid, LOWEST_PRIORITY)
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)  # the compiler that it started, too
            await process.wait()
    lines = said.decode(errors="replace").strip().splitlines() or [f"exit status {process.returncode}"]
    return lines[-1] if process.returncode else ""
