"""Each test runs a small service of its own in a process and sends it signals."""

import asyncio
import signal
import sys
import textwrap
import time

import pytest

PRELUDE = """
import asyncio, threading, time
from services.common import logs, runner
logs.setup("test")
"""


async def service(body: str, *signals: signal.Signals) -> tuple[int, str]:
    """Run a service with this source, send it `signals` once it says go; its exit code and its log."""
    source = PRELUDE + textwrap.dedent(body) + '\nrunner.run(main, service="test")'
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", source, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.timeout(30):
        if signals:
            assert await process.stdout.readline() == b"go\n"
        log = b""
        for number in signals:
            process.send_signal(number)
            log += await process.stderr.readline()
        log += await process.stderr.read()
        return await process.wait(), log.decode()


@pytest.mark.parametrize(("result", "code"), [("None", 0), ("0", 0), ("3", 3)])
async def test_the_exit_code_is_what_main_returns(result: str, code: int) -> None:
    assert await service(f"async def main(stop): return {result}") == (code, "")


async def test_an_exception_is_logged_and_exits_with_1() -> None:
    code, log = await service("async def main(stop): raise RuntimeError('broken')")
    assert code == 1
    assert "RuntimeError: broken" in log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_sets_the_event_and_main_ends_by_itself(number: signal.Signals) -> None:
    body = """
        async def main(stop):
            print("go", flush=True)
            await stop.wait()
            return 7
    """
    code, log = await service(body, number)
    assert code == 7
    assert f"stopping  signal={number.name}" in log


async def test_a_second_signal_does_not_wait_for_the_grace_time() -> None:
    body = """
        async def main(stop):
            print("go", flush=True)
            await asyncio.sleep(60)
    """
    started = time.monotonic()
    code, log = await service(body, signal.SIGTERM, signal.SIGTERM)
    assert code == 1
    assert "did not stop in time" in log
    assert time.monotonic() - started < 5


async def test_a_main_that_will_not_stop_is_ended() -> None:
    body = """
        runner.GRACE_S = 0.1
        async def main(stop):
            print("go", flush=True)
            while True:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    pass
    """
    code, log = await service(body, signal.SIGTERM)
    assert code == 1
    assert "does not react to cancellation" in log


async def test_a_hanging_thread_does_not_hold_up_the_exit() -> None:
    body = """
        async def main(stop):
            asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)
            return 5
    """
    started = time.monotonic()
    assert (await service(body))[0] == 5
    assert time.monotonic() - started < 20
