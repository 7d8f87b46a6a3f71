"""Sessions' home: one or more Memcached servers, each holding everything, so that any one of them may die.

Every write goes to all servers that answer; a read asks all of them at once and the newest value wins, which also
covers up for a server that came back empty or old until the next write mends it. A removal is written as a tombstone
for the same reason: a server that slept through a logout must not bring the session back.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pymemcache.client.base import PooledClient
from pymemcache.exceptions import MemcacheError

from services.common import logs
from services.common.settings import Address

T = TypeVar("T")

CONNECT_TIMEOUT_S = 0.3
ANSWER_TIMEOUT_S = 0.5
THREADS_PER_SERVER = 4
REST_S = 1.0  # how long a server that failed is left alone
VERSION_BYTES = 8
NAMESPACE = "sunstone_lite"

log = logs.get("sunstone.cache")


class CacheAway(Exception):
    """No cache server answers: nobody can be recognised until one does."""


class Server:
    """One Memcached server behind its own small thread pool; pymemcache blocks, the loop must not."""

    def __init__(self, address: Address, namespace: str) -> None:
        """Nothing is connected yet. Every key begins with `namespace`."""
        self.address = str(address)
        self._resting_until = 0.0
        self._pool = ThreadPoolExecutor(THREADS_PER_SERVER, thread_name_prefix=f"cache-{address}")
        self._client = PooledClient(
            (address.host, address.port),
            connect_timeout=CONNECT_TIMEOUT_S,
            timeout=ANSWER_TIMEOUT_S,
            no_delay=True,
            key_prefix=f"{namespace}:".encode("ascii"),
            max_pool_size=THREADS_PER_SERVER,
        )

    @property
    def resting(self) -> bool:
        """Whether the server failed a moment ago and is not asked."""
        return time.monotonic() < self._resting_until

    async def run(self, call: Callable[[PooledClient], T]) -> T:
        """The answer of one blocking call.

        Raises:
            CacheAway: the server did not answer; it is left alone for a moment.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S + ANSWER_TIMEOUT_S + 0.2):
                return await loop.run_in_executor(self._pool, call, self._client)
        except (OSError, MemcacheError, TimeoutError) as error:
            self._resting_until = time.monotonic() + REST_S
            log.warning("cache server away", address=self.address, error=str(error) or type(error).__name__)
            raise CacheAway(self.address) from error

    def close(self) -> None:
        """Close connections and threads without waiting for a stuck one."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._client.close()


class Cache:
    """All cache servers as one. Keys are short ASCII text; values bytes; lifetimes seconds."""

    def __init__(
        self, addresses: Sequence[Address], namespace: str = NAMESPACE, clock_ns: Callable[[], int] = time.time_ns
    ) -> None:
        """`clock_ns` gives the versions of values; it need not be exact, only roughly alike on all UI servers."""
        self._servers = tuple(Server(address, namespace) for address in addresses)
        self._clock_ns = clock_ns

    def close(self) -> None:
        """Close every connection."""
        for server in self._servers:
            server.close()

    async def get(self, key: str) -> bytes | None:
        """The newest value that any server has, None when nobody has one."""
        found = await self._ask_all(lambda client: client.get(key))
        newest = max(
            (value for value in found if value is not None), default=None, key=lambda value: value[:VERSION_BYTES]
        )
        return newest[VERSION_BYTES:] or None if newest is not None else None

    async def put(self, key: str, value: bytes, life_s: int) -> None:
        """Write `value` to every server that answers; it lives `life_s` seconds."""
        stamped = self._clock_ns().to_bytes(VERSION_BYTES, "big") + value
        await self._ask_all(lambda client: client.set(key, stamped, expire=life_s, noreply=False))

    async def remove(self, key: str, life_s: int) -> None:
        """Leave a tombstone that outlives any older value: `life_s` is the longest life such a value may have left."""
        await self.put(key, b"", life_s)

    async def take(self, key: str) -> bytes | None:
        """Read and remove a value meant to be seen once."""
        value = await self.get(key)
        if value is not None:
            await self._ask_all(lambda client: client.delete(key, noreply=False))
        return value

    async def count(self, key: str, life_s: int) -> int:
        """Add one to a counter and return it; it starts anew `life_s` seconds after its first count."""

        def add_one(client: PooledClient) -> int:
            client.add(key, b"0", expire=life_s, noreply=False)
            return int(client.incr(key, 1, noreply=False) or 1)

        return max(await self._ask_all(add_one))

    async def claim(self, key: str, life_s: int) -> bool:
        """Whether the caller is the first to claim `key` within `life_s` seconds."""
        answers = await self._ask_all(lambda client: client.add(key, b"1", expire=life_s, noreply=False))
        return all(answers)

    async def held(self, key: str) -> bool:
        """Whether somebody's claim on `key` still holds."""
        answers = await self._ask_all(lambda client: client.get(key))
        return any(answer is not None for answer in answers)

    async def forget(self, *keys: str) -> None:
        """Drop counters and claims."""
        await self._ask_all(lambda client: client.delete_many(keys, noreply=False))

    async def reachable(self) -> dict[str, bool]:
        """Which servers answer right now, by address; resting ones are asked too."""

        async def answers(server: Server) -> bool:
            try:
                await server.run(lambda client: client.version())
            except CacheAway:
                return False
            return True

        alive = await asyncio.gather(*(answers(server) for server in self._servers))
        return {server.address: up for server, up in zip(self._servers, alive, strict=True)}

    async def _ask_all(self, call: Callable[[PooledClient], T]) -> list[T]:
        """Answers of the servers that gave one.

        Raises:
            CacheAway: none did.
        """
        # with every server resting, ask them all the same: a wrong "away" would lock everybody out
        asked = [server for server in self._servers if not server.resting] or list(self._servers)
        answers = await _settled([server.run(call) for server in asked])
        if not answers:
            raise CacheAway(", ".join(server.address for server in asked))
        return answers


async def _settled(calls: Sequence[Awaitable[T]]) -> list[T]:
    """Results of the calls that found their server; other failures are the caller's."""
    done = await asyncio.gather(*calls, return_exceptions=True)
    for result in done:
        if isinstance(result, BaseException) and not isinstance(result, CacheAway):
            raise result
    return [result for result in done if not isinstance(result, BaseException)]
