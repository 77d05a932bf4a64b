"""Counts that several gateways share, over a real Redis, and without one."""

import asyncio
import secrets
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from exchange_site.operations.free_addresses import free_ports
from gateway.limits.counts import Counts
from gateway.limits.sharing import CountSharing
from scripts.services import Running
from tests.gateway.running_gateway import gateway_of
from tests.gateway.signed_client import SignedClient
from tests.matching import small_exchange
from tests.matching.small_exchange import until

NOW_S = 1_796_000_000.0
PATIENCE_S = 20.0


async def until_true(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


def test_counts_begin_again_with_each_interval_and_are_never_negative() -> None:
    counts = Counts("weight", 60)
    assert [counts.add("a", amount, NOW_S) for amount in (3, 4, -10, 1)] == [3, 7, 0, 1]
    assert (counts.get("a", NOW_S), counts.get("b", NOW_S), counts.get("a", NOW_S + 60)) == (1, 0, 0)


def test_what_was_added_while_a_sum_was_on_its_way_counts_too() -> None:
    counts = Counts("weight", 60)
    counts.add("a", 3, NOW_S)
    number, sent = counts.take_unsent(NOW_S)
    counts.add("a", 2, NOW_S)
    counts.hear(number, sent, {"a": 10})
    assert counts.get("a", NOW_S) == 12
    assert counts.take_unsent(NOW_S)[1] == {"a": 2}
    counts.hear(number - 1, {"a": 2}, {"a": 99})
    assert counts.get("a", NOW_S) == 12, "the sum is of another interval"


@pytest.mark.services("redis")
def test_gateways_hear_the_sums(redis: Running) -> None:
    async def body() -> None:
        prefix = secrets.token_hex(8)
        both = [Counts("weight", 3600) for _ in range(2)]
        sharing = [CountSharing(f"redis://{redis.address}", prefix=prefix, clock=lambda: NOW_S) for _ in both]
        for one, counts in zip(sharing, both, strict=True):
            counts.add("198.51.100.1", 3, NOW_S)
            one.start([counts])
        await until_true(lambda: any(counts.get("198.51.100.1", NOW_S) == 6 for counts in both))
        for counts in both:
            counts.add("198.51.100.1", 1, NOW_S)
        await until_true(lambda: max(counts.get("198.51.100.1", NOW_S) for counts in both) == 8)
        for one in sharing:
            await one.close()

    asyncio.run(body())


@pytest.mark.services("redis")
def test_an_address_uses_one_weight_at_two_gateways(redis: Running) -> None:
    url, prefix = f"redis://{redis.address}", secrets.token_hex(8)
    with (
        small_exchange.leader(small_exchange.plan()) as engine,
        gateway_of(engine, sharing=CountSharing(url, prefix=prefix)) as one,
        gateway_of(engine, sharing=CountSharing(url, prefix=prefix)) as other,
    ):
        first, second = SignedClient(one.url), SignedClient(other.url)
        sent = 0

        def is_counted_together() -> bool:
            nonlocal sent
            first.get("ping")
            used = int(second.get("ping").headers["X-MBX-USED-WEIGHT-1M"])
            sent += 1
            return used > sent

        until(is_counted_together, "a gateway to count what the other one has")


def test_without_redis_a_gateway_counts_for_itself_and_says_so_once() -> None:
    async def body() -> None:
        counts, turns = Counts("weight", 3600), 0
        take_unsent = counts.take_unsent

        def counted(now_s: float) -> object:
            nonlocal turns
            turns += 1
            return take_unsent(now_s)

        counts.take_unsent = counted  # type: ignore[method-assign, assignment]
        counts.add("a", 3, NOW_S)
        sharing = CountSharing(f"redis://127.0.0.1:{free_ports(1)[0]}", clock=lambda: NOW_S)
        sharing.start([counts])
        await until_true(lambda: turns > 3)
        assert counts.add("a", 1, NOW_S) == 4
        await sharing.close()

    with capture_logs() as lines:
        asyncio.run(body())
    assert [line["event"] for line in lines] == ["gateway.limits_not_shared"]
