"""Counts that several gateways share, over a real Redis, and without one."""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import replace

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from exchange_site.operations.free_addresses import free_ports
from gateway.limits.bans import Ban, Bans
from gateway.limits.counts import Counts
from gateway.limits.sharing import LimitSharing
from scripts.services import Running
from tests.gateway.running_gateway import LIMITS, gateway_of
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
        sharing = [LimitSharing(f"redis://{redis.address}", prefix=prefix, clock=lambda: NOW_S) for _ in both]
        for one, counts in zip(sharing, both, strict=True):
            counts.add("198.51.100.1", 3, NOW_S)
            one.start([counts], Bans())
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
        gateway_of(engine, sharing=LimitSharing(url, prefix=prefix)) as one,
        gateway_of(engine, sharing=LimitSharing(url, prefix=prefix)) as other,
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


@pytest.mark.services("redis")
def test_gateways_hear_of_bans_also_of_those_that_began_before_their_start(redis: Running) -> None:
    async def body() -> None:
        prefix, address = secrets.token_hex(8), "198.51.100.1"
        first, second, late = Bans(), Bans(), Bans()
        sharing = [LimitSharing(f"redis://{redis.address}", prefix=prefix) for _ in range(3)]
        sharing[0].start([], first)
        sharing[1].start([], second)
        begun = first.begin(address, NOW_S)
        await until_true(lambda: second.find(address, NOW_S) == begun)
        longer = second.begin(address, NOW_S + 120)
        assert longer.length_s == 240
        sharing[2].start([], late)
        for one in (first, late):
            await until_true(lambda one=one: one.find(address, NOW_S + 120) == longer)  # type: ignore[misc]
        assert [one.begun for one in (first, second, late)] == [1, 1, 0]
        assert not [one for one in (first, second, late) if one.unsent()]
        for shared in sharing:
            await shared.close()

    asyncio.run(body())


@pytest.mark.services("redis")
def test_an_entry_that_no_gateway_has_written_is_ignored(redis: Running) -> None:
    async def body() -> None:
        prefix, bans = secrets.token_hex(8), Bans()
        url = f"redis://{redis.address}"
        async with Redis.from_url(url) as other:
            await other.xadd(f"{prefix}:bans", {"network": "198.51.100.1", "until_s": "soon"})
            await other.xadd(f"{prefix}:bans", {"network": "198.51.100.2", "until_s": "9e9", "length_s": "240.0"})
        sharing = LimitSharing(url, prefix=prefix)
        sharing.start([], bans)
        await until_true(lambda: bans.find("198.51.100.2", NOW_S) is not None)
        assert bans.count(NOW_S) == 1
        await sharing.close()

    asyncio.run(body())


@pytest.mark.services("redis")
def test_an_address_that_one_gateway_bans_is_banned_by_the_other(redis: Running) -> None:
    url, prefix = f"redis://{redis.address}", secrets.token_hex(8)
    limits = replace(LIMITS, weight_per_minute=1)
    with (
        small_exchange.leader(small_exchange.plan()) as engine,
        gateway_of(engine, limits=limits, sharing=LimitSharing(url, prefix=prefix)) as one,
        gateway_of(engine, limits=limits, sharing=LimitSharing(url, prefix=prefix)) as other,
    ):
        until(lambda: SignedClient(one.url).get("ping").status == 418, "a ban")
        weights = other.parts.trading.weights
        until(lambda: weights.banned_count == 1, "the ban at the other gateway")
        assert SignedClient(other.url).get("ping").status == 418
        assert weights.bans.begun == 0


def test_what_could_not_be_sent_stays_unsent() -> None:
    bans = Bans()
    bans.begin("198.51.100.1", NOW_S)
    second = bans.begin("198.51.100.2", NOW_S)
    bans.note_sent(1)
    assert bans.unsent() == (second,)


def test_an_earlier_ban_does_not_replace_a_later_one() -> None:
    bans = Bans()
    later = bans.begin("198.51.100.1", NOW_S)
    bans.hear(Ban("198.51.100.1", NOW_S - 1, 120.0))
    assert bans.find("198.51.100.1", NOW_S) == later


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
        sharing = LimitSharing(f"redis://127.0.0.1:{free_ports(1)[0]}", clock=lambda: NOW_S)
        sharing.start([counts], Bans())
        await until_true(lambda: turns > 3)
        assert counts.add("a", 1, NOW_S) == 4
        await sharing.close()

    with capture_logs() as lines:
        asyncio.run(body())
    assert [line["event"] for line in lines] == ["gateway.limits_not_shared"]
