"""The clock that may be put forward."""

from __future__ import annotations

import asyncio

from services.oned_lite.server.clock import Clock

DEADLINE_S = 5


async def test_sleepers_wake_when_the_clock_is_put_forward_far_enough() -> None:
    clock = Clock()
    sleeping = asyncio.create_task(clock.sleep(100))
    await asyncio.sleep(0)

    clock.advance(60)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not sleeping.done()

    clock.advance(40)
    await asyncio.wait_for(sleeping, DEADLINE_S)


async def test_it_can_be_put_right_again() -> None:
    clock = Clock()
    before = clock.moment()
    clock.advance(1000)
    assert 1000 <= clock.moment().epoch_s - before.epoch_s < 1000 + DEADLINE_S
    assert clock.moment().ms - before.ms < 1000 * DEADLINE_S

    clock.put_right()

    assert clock.moment().epoch_s - before.epoch_s < DEADLINE_S


async def test_a_clock_that_is_put_right_does_not_wake_sleepers_early() -> None:
    clock = Clock()
    clock.advance(1000)
    sleeping = asyncio.create_task(clock.sleep(100))
    await asyncio.sleep(0)

    clock.put_right()
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert not sleeping.done()
    sleeping.cancel()
