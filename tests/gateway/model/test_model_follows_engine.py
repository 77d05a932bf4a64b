"""The model against the engine and against settlement's own folding of orders, after every block of random streams."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from random import Random

import pytest

from gateway.model.model import Model
from gateway.model.records import Fill, Level, Order, OrderStatus
from gateway.model.windows import DepthUpdate
from matching.core import kernel
from matching.core.blocks import Block
from matching.core.codes import Side, name_of
from matching.core.engine import Engine
from matching.core.reading.event_rows import event_rows
from tests.gateway.model.source import ACCOUNTS, Source, model, random_blocks
from tests.settlement.row_by_row.order_states import OrderFold, OrderState, orders_needed

_COMMANDS = 400


class Consumer:
    """Keeps books as a client does: from one depth, and the updates that follow it."""

    def __init__(self, followed: Model) -> None:
        self._model = followed
        self._books: dict[int, tuple[int, dict[int, int], dict[int, int]]] = {}
        followed.on_window.append(self._on_window)

    def begin(self, instrument: int) -> None:
        if instrument not in self._books:
            depth = self._model.depth(instrument, 10**9)
            self._books[instrument] = (depth.last_update_id, dict(depth.bids), dict(depth.asks))

    def _on_window(self, updates: Iterable[DepthUpdate]) -> None:
        for update in updates:
            if update.instrument not in self._books:
                continue
            last_id, bids, asks = self._books[update.instrument]
            assert update.first_id == last_id + 1
            assert update.last_id >= update.first_id
            for side, changes in ((bids, update.bids), (asks, update.asks)):
                for level in changes:
                    assert side.get(level.price, 0) != level.quantity, "only what changed"
                    side[level.price] = level.quantity
                    if not level.quantity:
                        del side[level.price]
            self._books[update.instrument] = (update.last_id, bids, asks)

    def levels(self, instrument: int) -> tuple[list[Level], list[Level]]:
        _, bids, asks = self._books[instrument]
        return (
            [Level(*row) for row in sorted(bids.items(), reverse=True)],
            [Level(*row) for row in sorted(asks.items())],
        )


def engine_levels(engine: Engine, instrument: int) -> tuple[list[Level], list[Level]]:
    found = engine.depth(engine.registry.instruments[instrument], 10_000)
    return [Level(*row) for row in found["bids"]], [Level(*row) for row in found["asks"]]


@pytest.mark.parametrize("from_snapshot", [False, True])
def test_books_from_updates_equal_the_engines_at_the_end_of_every_window(seed: int, from_snapshot: bool) -> None:
    source, followed = Source(), model()
    consumer, random = Consumer(followed), Random(seed)
    has_begun = False
    for number, block in enumerate(random_blocks(source, seed, _COMMANDS)):
        if not has_begun:
            if from_snapshot and number < 40:
                continue
            followed.begin(source.snapshot() if from_snapshot else Engine())
            has_begun = True
            if from_snapshot:
                continue
        followed.apply(block)
        for instrument in range(len(source.engine.registry.instruments)):
            consumer.begin(instrument)
        if random.randrange(3) == 0:
            followed.end_window()  # as a heartbeat does
            for instrument in range(len(source.engine.registry.instruments)):
                assert consumer.levels(instrument) == engine_levels(source.engine, instrument)
                depth = followed.depth(instrument, 10_000)
                assert (list(depth.bids), list(depth.asks)) == engine_levels(source.engine, instrument)
    assert has_begun


def test_funds_and_open_orders_equal_the_engines(seed: int) -> None:
    source, followed = Source(), model()
    for number, block in enumerate(random_blocks(source, seed, _COMMANDS)):
        if number == 40:
            followed.begin(source.snapshot())
        elif number > 40:
            followed.apply(block)
            check_funds(followed, source.engine)
            check_open_orders(followed, source.engine)


def check_funds(followed: Model, engine: Engine) -> None:
    expected = {(account, asset): (free, locked) for account, asset, free, locked in engine.balances()}
    found = {
        (account, balance.asset.symbol): (balance.available, balance.locked)
        for account in {account for account, _ in expected} | set(ACCOUNTS)
        for balance in followed.balances(account)
        if balance.available or balance.locked
    }
    assert found == expected


def check_open_orders(followed: Model, engine: Engine) -> None:
    resting = {
        one.order_id: (one.account, one.symbol, one.side, one.price, one.quantity, one.remaining)
        for one in engine.open_orders()
    }
    waiting = {
        one.order_id: (one.account, one.symbol, one.side, one.price, one.quantity, one.trigger_price)
        for one in engine.pending_orders()
    }
    accounts = {row[0] for row in (*resting.values(), *waiting.values())}
    found_resting, found_waiting = {}, {}
    for account in accounts | set(ACCOUNTS):
        orders = asyncio.run(open_orders(followed, account))
        assert [order.order_id for order in orders] == sorted(order.order_id for order in orders)
        for order in orders:
            symbol = followed.instrument(order.instrument_id).engine_symbol
            common = (order.account, symbol, name_of(order.side), order.price, order.quantity)
            if order.status is OrderStatus.WAITING:
                found_waiting[order.order_id] = (*common, order.trigger_price)
            else:
                found_resting[order.order_id] = (*common, (order.quantity or 0) - order.filled)
    assert (found_resting, found_waiting) == (resting, waiting)


async def open_orders(followed: Model, account: int) -> list[Order]:
    return list(await followed.open_orders(account))


class Settled:
    """The states of orders as settlement folds them."""

    def __init__(self) -> None:
        self.orders: dict[int, OrderState] = {}
        self._symbols: list[str] = []

    def apply(self, block: Block, engine: Engine) -> None:
        self._symbols = [instrument.symbol for instrument in engine.registry.instruments]
        rows = event_rows(block.events)
        assert orders_needed(rows) <= self.orders.keys()
        fold = OrderFold(block, self._symbols, self.orders)
        for row in rows:
            fold.apply(row, set())


def test_orders_equal_those_of_settlement_and_their_fills(seed: int) -> None:
    source, followed, settled = Source(), model(), Settled()
    followed.begin(Engine())
    for block in random_blocks(source, seed, _COMMANDS):
        followed.apply(block)
        settled.apply(block, source.engine)
    assert settled.orders
    asyncio.run(compare_orders(followed, settled))


async def compare_orders(followed: Model, settled: Settled) -> None:
    fills: dict[int, list[Fill]] = defaultdict(list)
    for account in {order.account for order in settled.orders.values()}:
        for instrument in followed.instruments():
            for fill in await followed.fills(account, instrument.id, limit=10**9):
                fills[fill.order_id].append(fill)
    for order_id, expected in settled.orders.items():
        instrument = next(one for one in followed.instruments() if one.engine_symbol == expected.symbol)
        found = await followed.order(expected.account, instrument.id, order_id=order_id)
        assert found is not None
        assert as_settled(found) == as_expected(expected), expected
        assert found.filled == sum(fill.quantity for fill in fills[order_id])
        assert found.filled_quote == sum(fill.quote_amount for fill in fills[order_id])


def as_settled(order: Order) -> tuple[object, ...]:
    return (
        name_of(order.side),
        name_of(order.order_type),
        name_of(order.time_in_force),
        order.post_only,
        name_of(order.self_trade_prevention),
        order.client_order_id or None,
        order.price,
        order.quantity,
        order.quote_quantity,
        order.filled,
        order.status.value,
        name_of(order.reason) if order.reason else None,
        order.placed_at_ns,
        order.updated_sequence,
        order.trigger_price,
        order.visible_quantity,
        order.order_list_id,
    )


def as_expected(order: OrderState) -> tuple[object, ...]:
    return (
        order.side,
        order.order_type,
        order.time_in_force,
        order.post_only,
        order.self_trade_prevention,
        order.client_order_id,
        order.price,
        order.quantity,
        order.quote_quantity,
        order.filled,
        order.status,
        order.reason,
        order.placed_at_ns,
        order.updated_sequence,
        order.trigger_price,
        order.visible_quantity,
        order.order_list_id,
    )


def test_best_levels_are_those_of_the_book(seed: int) -> None:
    source, followed = Source(), model()
    followed.begin(Engine())
    for block in random_blocks(source, seed, _COMMANDS):
        followed.apply(block)
        for instrument in followed.instruments():
            book = followed.book_ticker(instrument.id)
            for side, found in zip(
                Side,
                ((book.bid_price, book.bid_quantity), (book.ask_price, book.ask_quantity)),
                strict=True,
            ):
                levels = engine_levels(source.engine, instrument.id)[int(side)]
                assert found == (tuple(levels[0]) if levels else (0, 0))


def test_the_kernel_finds_what_readers_ask_for(seed: int) -> None:
    source = Source()
    for _ in random_blocks(source, seed, _COMMANDS):
        pass
    pools = source.engine.pools
    for account, _, _, _ in source.engine.balances():
        assert pools.accounts[kernel.find_account(pools, account)]["account"] == account
    for order in source.engine.open_orders():
        assert pools.orders[kernel.find_order(pools, order.order_id)]["order_id"] == order.order_id
    assert kernel.find_account(pools, 10**15) == kernel.find_balance(pools, 10**15, 0) == 0
    assert kernel.find_trader(pools, 10**15, 0) == kernel.find_order(pools, 10**15) == 0
