"""Several gateways share their counts through Redis: ten times a second each adds its own and hears the sums.

No request waits for Redis. So a gateway knows what another one has counted up to `EVERY_S` later. While Redis is away
each gateway goes on with its own counts.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.limits.counts import Counts

log = structlog.get_logger(__name__)

EVERY_S = 0.1
_ANSWER_S = 1.0


class CountSharing:
    """Used in one event loop, between `start` and `close`. `clock` returns seconds since 1970."""

    def __init__(self, url: str, *, prefix: str = "gateway", clock: Callable[[], float] = time.time) -> None:
        """`prefix` begins all keys. Raises ValueError for a URL that is not one of Redis."""
        self._prefix = prefix
        self._redis = Redis.from_url(url, socket_timeout=_ANSWER_S, socket_connect_timeout=_ANSWER_S)
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._is_failing = False

    def start(self, counts: Iterable[Counts]) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(tuple(counts)))

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
        await self._redis.aclose()

    async def _run(self, counts: Sequence[Counts]) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                for one in counts:
                    await self._share(one)
            except (RedisError, OSError) as error:
                if not self._is_failing:
                    log.warning("gateway.limits_not_shared", error=str(error))
                self._is_failing = True
            else:
                self._is_failing = False

    async def _share(self, counts: Counts) -> None:
        number, unsent = counts.take_unsent(self._clock())
        if not unsent:
            return
        async with self._redis.pipeline(transaction=False) as commands:
            for name, amount in unsent.items():
                key = f"{self._prefix}:{counts.label}:{number}:{name}"
                commands.incrby(key, amount)
                commands.expire(key, 2 * counts.seconds)
            answers = await commands.execute()
        counts.hear(number, unsent, dict(zip(unsent, answers[::2], strict=True)))
