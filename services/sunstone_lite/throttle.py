"""Slowing down password guessing, per account, counted in the cache so that all UI servers count together.

The first attempts are free. After them one attempt is let through per pause, and pauses double up to a minute: long
enough to make guessing pointless, short enough that nobody can lock a user out for good.
"""

import hashlib

from services.sunstone_lite.cache import Cache

FREE_ATTEMPTS = 5
FIRST_PAUSE_S = 4
LONGEST_PAUSE_S = 60
MEMORY_S = 900


def pause_s(attempt: int) -> int:
    """Seconds to wait before the next try, after attempt number `attempt` (from 1)."""
    beyond = attempt - FREE_ATTEMPTS
    return 0 if beyond < 0 else min(FIRST_PAUSE_S * 2 ** min(beyond, 10), LONGEST_PAUSE_S)


class Throttle:
    """Attempts per account. Accounts that do not exist are counted alike, so that nothing tells them apart."""

    def __init__(self, cache: Cache) -> None:
        """Counts live in `cache`."""
        self._cache = cache

    async def admit(self, account: str) -> bool:
        """Whether a password may be tried now. Raises CacheAway."""
        count_key, pause_key = _keys(account)
        if await self._cache.held(pause_key):
            return False
        attempt = await self._cache.count(count_key, MEMORY_S)
        pause = pause_s(attempt)
        return pause == 0 or await self._cache.claim(pause_key, pause)

    async def forgive(self, account: str) -> None:
        """The password was right: start counting anew."""
        await self._cache.forget(*_keys(account))


def _keys(account: str) -> tuple[str, str]:
    digest = hashlib.sha256(account.encode("utf-8", "replace")).hexdigest()
    return f"tries:{digest}", f"pause:{digest}"
