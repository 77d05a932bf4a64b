"""Several gateways share their counts and bans through Redis: ten times a second each sends its own and hears the rest.

No request waits for Redis. So a gateway knows what another one has counted, or whom it has banned, up to `EVERY_S`
later. While Redis is away each gateway goes on with what it knows; what it could not send is sent later.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import cast

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.limits.bans import KEPT, Ban, Bans
from gateway.limits.counts import Counts

log = structlog.get_logger(__name__)

EVERY_S = 0.1
_ANSWER_S = 1.0
_BANS_AT_ONCE = 1000
_FIRST_ENTRY = b"0"
_Streams = list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]


class LimitSharing:
    """Used in one event loop, between `start` and `close`. `clock` returns seconds since 1970."""

    def __init__(self, url: str, *, prefix: str = "gateway", clock: Callable[[], float] = time.time) -> None:
        """`prefix` begins all keys. Raises ValueError for a URL that is not one of Redis."""
        self._prefix = prefix
        self._redis = Redis.from_url(url, socket_timeout=_ANSWER_S, socket_connect_timeout=_ANSWER_S)
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._is_failing = False
        self._last_ban = _FIRST_ENTRY  # a gateway that starts hears all bans that Redis has

    def start(self, counts: Iterable[Counts], bans: Bans) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(tuple(counts), bans))

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
        await self._redis.aclose()

    async def _run(self, counts: Sequence[Counts], bans: Bans) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                for one in counts:
                    await self._share(one)
                await self._send_bans(bans)
                await self._hear_bans(bans)
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

    # Bans are entries of a Redis stream, whose oldest ones are dropped.

    @property
    def _bans_key(self) -> str:
        return f"{self._prefix}:bans"

    async def _send_bans(self, bans: Bans) -> None:
        """A ban that is sent twice, because the answer was lost, is the same ban."""
        unsent = bans.unsent()
        if not unsent:
            return
        async with self._redis.pipeline(transaction=False) as commands:
            for ban in unsent:
                fields = {"network": ban.network, "until_s": repr(ban.until_s), "length_s": repr(ban.length_s)}
                commands.xadd(self._bans_key, fields, maxlen=KEPT, approximate=True)  # type: ignore[arg-type]
            await commands.execute()
        bans.note_sent(len(unsent))

    async def _hear_bans(self, bans: Bans) -> None:
        while True:
            read = await self._redis.xread({self._bans_key: self._last_ban}, count=_BANS_AT_ONCE)
            found = cast(_Streams, read)  # redis-py's type covers every option of its clients
            entries = found[0][1] if found else []
            for entry, fields in entries:
                self._last_ban = entry
                ban = _ban_of(fields)
                if ban is not None:
                    bans.hear(ban)
            if len(entries) < _BANS_AT_ONCE:
                return


def _ban_of(fields: Mapping[bytes, bytes]) -> Ban | None:
    """None for an entry that no gateway has written."""
    try:
        return Ban(fields[b"network"].decode("ascii"), float(fields[b"until_s"]), float(fields[b"length_s"]))
    except (KeyError, ValueError):
        return None
