"""The life of a service's process: event loop, signals, a bounded stop, the exit code."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import NoReturn

import uvloop

from services.common import logs

GRACE_S = 5.0
_LAST_WORDS_S = 1.0

Main = Callable[[asyncio.Event], Awaitable[int | None]]


def run(main: Main, *, service: str) -> NoReturn:
    """Run `main` on uvloop until it ends, and exit with the code that it returns (None is 0).

    SIGTERM and SIGINT set the event that `main` gets; it then has GRACE_S to come to an end and is cancelled after that,
    at once on a second signal. An exception is logged and exits with 1, and so does a stop that had to be forced.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(_supervise(main, logs.get(service)))
        # a worker thread that hangs in a system call must not hold up the exit
        last_resort = threading.Timer(_LAST_WORDS_S, os._exit, (code,))
        last_resort.daemon = True
        last_resort.start()
    sys.exit(code)


async def _supervise(main: Main, log: logs.Logger) -> int:
    stop, hurry = asyncio.Event(), asyncio.Event()

    def on_signal(number: signal.Signals) -> None:
        log.info("stopping", signal=number.name)
        (hurry if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    work = asyncio.ensure_future(main(stop))
    await _first_of(work, stop)
    await _first_of(work, hurry, timeout_s=GRACE_S)
    if not work.done():
        log.error("did not stop in time, cancelling", grace_s=GRACE_S)
        await _cancel(work, log)
        return 1
    try:
        return work.result() or 0
    except asyncio.CancelledError:
        return 1
    except Exception:
        log.exception("failed")
        return 1


async def _first_of(work: asyncio.Future[int | None], event: asyncio.Event, timeout_s: float | None = None) -> None:
    """Wait until `work` is done, `event` is set or the time is over."""
    waiter = asyncio.ensure_future(event.wait())
    await asyncio.wait((work, waiter), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    waiter.cancel()


async def _cancel(work: asyncio.Future[int | None], log: logs.Logger) -> None:
    work.cancel()
    done, _ = await asyncio.wait((work,), timeout=_LAST_WORDS_S)
    if not done:
        log.error("does not react to cancellation, exiting")
        os._exit(1)
    if not work.cancelled() and (error := work.exception()):
        log.error("failed while stopping", exc_info=error)
