"""The gateway beside real engines: it joins from a snapshot, follows a promotion, and is unready while it is behind."""

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from gateway.model.history import NoHistory
from gateway.model.instruments import Instrument
from gateway.model.records import Fill, Order, OrderStatus
from gateway.model.records import Trade as PublicTrade
from matching.client.client import Client
from matching.core.codes import Side
from matching.feed.reader import Feed
from matching.storage.disk import LocalDisk
from matching.storage.snapshot_files import DirectWriter, SnapshotFolder, Snapshotter
from matching.workloads.btc_usd import DEFINITIONS
from tests.gateway.running_gateway import RunningGateway, gateway_of, limit
from tests.gateway.small_gateway import funds
from tests.gateway.streams.consumer import consuming
from tests.matching.client.test_client_failover import leader_and_follower, promoted
from tests.matching.histories import MemoryHistory
from tests.matching.small_exchange import Running, confirmation, leader, leader_with, plan, services, until


def status_of(gateway: RunningGateway, path: str) -> tuple[int, int]:
    """HTTP status and code of the answer; 0: no code."""
    try:
        with urllib.request.urlopen(f"{gateway.url}{path}", timeout=20) as answer:
            return answer.status, 0
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())["code"]


def test_the_gateway_follows_a_promotion_and_its_streams_go_on() -> None:
    with leader_and_follower(MemoryHistory()) as (leading, first, second), gateway_of(first) as gateway:
        gateway.call(*DEFINITIONS)
        gateway.call(*funds(1), *funds(2), limit(1, "sell", "100.00"))
        with consuming(f"{gateway.stream_url}/ws/btcusd@trade") as consumer:
            consumer.ask("LIST_SUBSCRIPTIONS")
            leading.close()
            promoted(second.commands)
            gateway.call(limit(2, "buy", "100.00"), engines=second.commands)
            assert consumer.event("trade")["p"] == "100.00000000"
        until(lambda: gateway.model.is_ready, "the gateway to be level with the new leader")
        assert status_of(gateway, "/api/v3/depth?symbol=BTCUSD") == (200, 0)


def test_a_silent_engine_makes_the_gateway_unready() -> None:
    with ExitStack() as running:
        engine = running.enter_context(leader(plan()))
        with gateway_of(engine) as gateway:
            gateway.call(*DEFINITIONS)
            assert status_of(gateway, "/api/v3/depth?symbol=BTCUSD") == (200, 0)
            running.close()
            until(lambda: not gateway.model.is_ready, "the gateway to notice the silence")
            assert status_of(gateway, "/api/v3/depth?symbol=BTCUSD") == (503, -1008)
            assert status_of(gateway, "/api/v3/ping") == (200, 0)


def apply_and_confirm(running: Running, client: Client, commands: Sequence[dict[str, object]]) -> None:
    """Each command in a block that is confirmed, so that the ring drops old blocks."""
    addresses = running.plan.addresses
    feed = Feed(addresses.blocks, addresses.retransmission)
    try:
        for command in commands:
            client.call([command])
            feed.confirm(confirmation(running, running.parts.engine.block_number))
    finally:
        feed.close()


class OneTrade(NoHistory):
    """What settlement has stored."""

    async def trades_before(self, instrument: Instrument, before: int, limit: int) -> list[PublicTrade]:
        return [PublicTrade(1, before - 1, 10_000, 10_000, time.time_ns(), Side.BUY, 1, 2, -1)]


def test_a_gateway_that_joins_late_begins_with_a_snapshot(tmp_path: Path) -> None:
    folder = SnapshotFolder(LocalDisk(), tmp_path / "snapshots", 3)
    own = services(MemoryHistory(), snapshotter=Snapshotter(folder, DirectWriter(folder), 0))
    with leader_with(plan(ring_blocks=4), own) as running, Client(running.commands) as client:
        orders = [
            limit(1, "sell", "110.00", client_order_id="old"),
            limit(1, "sell", "100.00"),
            limit(2, "buy", "100.00"),
        ]
        apply_and_confirm(running, client, [*DEFINITIONS, *funds(1), *funds(2), *orders])
        assert running.parts.ring.first > 1
        with gateway_of(running, history=OneTrade()) as observed:
            assert [trade.trade_number for trade in observed.model.trades(0, limit=10)] == [1]
            assert observed.model.state.first_event > 1
            (order,) = asyncio.run(open_orders(observed))
            assert (order.status, order.price, order.client_order_id) == (OrderStatus.OPEN, 11_000, "")
            assert observed.model.last_price(0) == 10_000
            observed.call(limit(2, "buy", "110.00", "1"))
            assert [trade.trade_number for trade in observed.model.trades(0, limit=10)] == [1, 2]
            assert observed.model.ticker_24h(0).first_trade_number == 1
            (fill,) = asyncio.run(fills(observed))
            assert fill.order_id == order.order_id


async def open_orders(gateway: RunningGateway) -> Sequence[Order]:
    return await gateway.model.open_orders(1)


async def fills(gateway: RunningGateway) -> Sequence[Fill]:
    return await gateway.model.fills(1, 0, limit=10)


def test_a_leader_that_goes_on_without_blocks_makes_the_gateway_begin_anew() -> None:
    where, history = plan(), MemoryHistory()
    with ExitStack() as running:
        first = running.enter_context(leader_with(where, services(history)))
        with gateway_of(first) as gateway:
            gateway.call(*DEFINITIONS, *funds(1))
            with consuming(f"{gateway.stream_url}/ws/btcusd@trade") as consumer:
                consumer.ask("LIST_SUBSCRIPTIONS")
                running.close()  # settlement had stored nothing
                with leader_with(where, services(history)) as second:
                    assert consumer.closed() == (1012, "The market data begin anew")
                    with Client(second.commands) as client:
                        client.call(DEFINITIONS[:1])
                    until(lambda: gateway.model.block_number == 1, "the model to begin anew")
                    until(lambda: gateway.model.is_ready, "the gateway to be ready again")
                    assert gateway.model.instruments() == []
