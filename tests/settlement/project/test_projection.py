"""The rows of blocks: examples by hand, and comparisons with the engine and the reference exchange."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matching.core.codes import CommandKind
from matching.workloads.btc_usd import DEFINITIONS
from settlement.errors import StoreDamaged
from settlement.project.projection import EmptyTables, Projector, trades_of
from settlement.stores.base import Balance, Candle, Definition, Order, Projection, StoreUnavailable, Trade, TradingDay
from tests.reference.streams import random_commands
from tests.settlement.chains import START_NS, STEP_NS, Chain, chain_of, deposit, order, worked_example

MINUTE_NS = 60 * 10**9


def forgetless() -> Projector:
    return Projector(EmptyTables(), kept=None)


def funded(**more: Any) -> Chain:
    """Three accounts with plenty, in the block before what a test adds."""
    chain = Chain(**more).add(*DEFINITIONS)
    transfers = [deposit(n, asset, "1000000", f"{asset}{n}") for n in (1, 2, 3) for asset in ("BTC", "USD")]
    return chain.add(*transfers)


def orders_after(chain: Chain) -> dict[int, Order]:
    return {row.order_id: row for row in forgetless().project(chain.blocks).orders}


def market(account: int, side: str, **size: str) -> dict[str, Any]:
    return {
        "command": "order",
        "account": account,
        "symbol": "BTC-USD",
        "side": side,
        "order_type": "market",
        **size,
    }


def test_a_cancellation_of_an_order_that_no_block_has_placed_is_damage() -> None:
    chain = funded().add(order(1, "buy", "1", "1", client_order_id="a"))
    chain.add({"command": "cancel", "account": 1, "symbol": "BTC-USD", "client_order_id": "a"})
    *_, _, cancels = chain.blocks
    projector = forgetless()
    projector.project(chain.blocks[:-2])
    with pytest.raises(StoreDamaged):
        projector.project([cancels])


def test_the_worked_example_gives_exactly_its_rows() -> None:
    chain = worked_example()
    projection = forgetless().project(chain.blocks)
    at_ns = START_NS + 3 * STEP_NS
    assert projection.checkpoint == (4, chain.engine.state_hash, 1)
    assert projection.trades == [
        Trade(8, 4, at_ns, "BTC-USD", 2_000_000, 5000, "buy", 6, 7, 2, 1, 100_000, 10_000_000, trade_number=1)
    ]
    assert [(row.order_id, row.status, row.quantity, row.filled, row.remaining) for row in projection.orders] == [
        (6, "filled", 5000, 5000, 0),
        (7, "open", 6000, 5000, 1000),
    ]
    assert sorted(projection.balances) == [
        Balance(0, "BTC", 100_000, 0, 8),
        Balance(0, "USD", 10_000_000, 0, 8),
        Balance(1, "BTC", 50_000_000, 0, 8),
        Balance(1, "USD", 9_990_000_000, 0, 8),
        Balance(2, "BTC", 49_900_000, 0, 8),
        Balance(2, "USD", 17_900_000_000, 2_100_000_000, 8),
    ]
    minute_ns = at_ns // MINUTE_NS * MINUTE_NS
    of_price, paid = (2_000_000,) * 4, 10_000_000_000
    assert projection.candles == [Candle("BTC-USD", minute_ns, *of_price, 5000, 1, 8, paid, 5000, paid)]
    assert projection.days == [TradingDay(date(2025, 12, 31), 8, 8)]
    assert [(d.event_sequence, d.kind) for d in projection.definitions] == [
        (1, CommandKind.ASSET),
        (2, CommandKind.ASSET),
        (3, CommandKind.INSTRUMENT),
    ]


def test_an_order_carries_everything_its_command_said() -> None:
    terms = {
        "time_in_force": "gtc",
        "post_only": True,
        "self_trade_prevention": "expire_both",
        "client_order_id": "mine",
    }
    chain = funded().add(order(3, "sell", "20000.5", "0.25", **terms))
    (row,) = orders_after(chain).values()
    at_ns = chain.blocks[-1].timestamp_ns
    assert row == Order(
        order_id=10,
        account=3,
        symbol="BTC-USD",
        side="sell",
        order_type="limit",
        time_in_force="gtc",
        post_only=True,
        self_trade_prevention="expire_both",
        client_order_id="mine",
        price=2_000_050,
        quantity=2500,
        quote_quantity=None,
        filled=0,
        remaining=2500,
        status="open",
        reason=None,
        placed_at_ns=at_ns,
        updated_at_ns=at_ns,
        updated_sequence=10,
    )


def state(row: Order) -> tuple[object, ...]:
    return row.status, row.reason, row.quantity, row.quote_quantity, row.filled, row.remaining


def test_the_unmatched_rest_of_an_ioc_is_cancelled_with_its_reason() -> None:
    chain = funded().add(order(1, "sell", "20000", "0.1"), order(2, "buy", "20000", "0.3", time_in_force="ioc"))
    assert state(orders_after(chain)[11]) == ("cancelled", "ioc", 3000, None, 1000, 0)


def test_a_market_order_has_no_price_and_ends_without_liquidity() -> None:
    chain = funded().add(order(1, "sell", "20000", "0.1"), market(2, "buy", quantity="0.3"))
    row = orders_after(chain)[11]
    assert state(row) == ("cancelled", "no_liquidity", 3000, None, 1000, 0)
    assert (row.price, row.order_type, row.time_in_force) == (None, "market", "ioc")


def test_an_order_by_quote_quantity_that_spends_all_it_can_is_filled() -> None:
    chain = funded().add(order(1, "sell", "20000", "0.1"), market(2, "buy", quote_quantity="1001"))
    assert state(orders_after(chain)[11]) == ("filled", "quote_quantity_used", None, 1_001_000_000, 500, 0)


def test_an_order_by_quote_quantity_with_money_left_and_no_seller_is_cancelled() -> None:
    chain = funded().add(order(1, "sell", "20000", "0.1"), market(2, "buy", quote_quantity="5000"))
    assert state(orders_after(chain)[11]) == ("cancelled", "no_liquidity", None, 5_000_000_000, 1000, 0)


def test_an_order_by_quote_quantity_that_buys_nothing_is_cancelled() -> None:
    """Its own sell order is in the way, and the next is too dear."""
    own, dear = order(2, "sell", "1", "0.0001"), order(1, "sell", "20000", "1")
    buy = {**market(2, "buy", quote_quantity="0.5"), "self_trade_prevention": "expire_maker"}
    rows = orders_after(funded().add(own, dear, buy))
    assert state(rows[10]) == ("cancelled", "self_trade", 1, None, 0, 0)
    assert state(rows[12]) == ("cancelled", "quote_quantity_used", None, 500_000, 0, 0)


def test_a_replaced_orders_quantity_is_what_traded_and_what_is_open() -> None:
    chain = funded().add(order(1, "sell", "20000", "0.5"), order(2, "buy", "20000", "0.2"))
    change = {"command": "replace", "account": 1, "symbol": "BTC-USD", "order_id": 10}
    chain.add({**change, "price": "21000", "quantity": "0.7"})
    row = orders_after(chain)[10]
    assert state(row) == ("open", None, 9000, None, 2000, 7000)
    assert row.price == 2_100_000
    assert row.placed_at_ns < row.updated_at_ns


def test_a_cancelled_order_keeps_its_quantity_and_has_nothing_open() -> None:
    chain = funded().add(order(1, "sell", "20000", "0.5"), order(2, "buy", "20000", "0.2"))
    chain.add({"command": "cancel_all", "account": 1})
    assert state(orders_after(chain)[10]) == ("cancelled", "user", 5000, None, 2000, 0)


def test_a_candle_has_open_high_low_close_and_volume_of_its_minute() -> None:
    chain = funded(start_ns=START_NS + 10**10, step_ns=MINUTE_NS // 2)  # two blocks a minute
    for price in ("20020", "20000", "19990", "20010"):
        chain.add(order(1, "sell", price, "0.1"), order(2, "buy", price, "0.1"))
    candles = forgetless().project(chain.blocks).candles
    assert [candle[2:8] for candle in sorted(candles)] == [
        (2_002_000, 2_002_000, 2_000_000, 2_000_000, 2000, 2),
        (1_999_000, 2_001_000, 1_999_000, 2_001_000, 2000, 2),
    ]


def test_a_candle_has_what_was_paid_and_what_takers_bought() -> None:
    chain = funded(start_ns=START_NS + 10**10, step_ns=MINUTE_NS // 4)
    for maker, taker, price in (("sell", "buy", "20020"), ("buy", "sell", "20000"), ("sell", "buy", "19990")):
        chain.add(order(1, maker, price, "0.1"), order(2, taker, price, "0.1"))
    (candle,) = forgetless().project(chain.blocks).candles
    paid = [2_002_000_000, 2_000_000_000, 1_999_000_000]
    assert (candle.quote_volume, candle.taker_buy_volume) == (sum(paid), 2000)
    assert candle.taker_buy_quote_volume == paid[0] + paid[2]


def test_a_day_ends_at_midnight_utc() -> None:
    chain = funded(start_ns=START_NS + 7 * 10**9)
    for _ in range(4):  # 59:59, 00:00 …
        chain.add(order(1, "sell", "20000", "0.1"), order(2, "buy", "20000", "0.1"))
    days = forgetless().project(chain.blocks).days
    assert [(found.day.isoformat(), found.first_trade_id, found.last_trade_id) for found in days] == [
        ("2025-12-31", 12, 15),
        ("2026-01-01", 18, 21),
    ]


def test_a_status_is_a_definition_and_a_refused_one_is_none() -> None:
    chain = funded().add({"command": "instrument_status", "symbol": "BTC-USD", "status": "halted"}, DEFINITIONS[0])
    definitions = forgetless().project(chain.blocks).definitions
    assert [d.event_sequence for d in definitions] == [1, 2, 3, 10]
    assert definitions[-1].text == '{"command":"instrument_status","symbol":"BTC-USD","status":"halted"}'


def test_an_empty_block_moves_the_checkpoint_only() -> None:
    chain = funded()
    chain.end_block()
    projector = forgetless()
    projector.project(chain.blocks[:-1])
    projection = projector.project(chain.blocks[-1:])
    assert projection.checkpoint.block_number == chain.engine.block_number
    assert projection == Projection(projection.checkpoint, [], [], [], [], [], [], [], [], transfers=[])


@pytest.mark.parametrize("seed", range(4))
def test_projections_end_in_the_engines_own_state(seed: int) -> None:
    chain = chain_of(random_commands(seed, 1200, instruments=3, wild=False))
    projector = forgetless()
    for start in range(0, len(chain.blocks), 4):
        projector.project(chain.blocks[start : start + 4])
    held = [tuple(row[:4]) for row in projector.balances() if row.available or row.locked]
    assert held == chain.engine.balances()
    rows = [row for row in projector.open_orders() if row.status == "open"]
    open_orders = [(o.order_id, o.account, o.symbol, o.side, o.price, o.quantity, o.remaining) for o in rows]
    assert open_orders == sorted(tuple(found[:7]) for found in chain.engine.open_orders())
    waiting = [row for row in projector.open_orders() if row.status == "waiting"]
    assert [
        (o.order_id, o.account, o.symbol, o.side, o.order_type, o.trigger_price, o.price, o.remaining) for o in waiting
    ] == list(map(tuple, chain.engine.pending_orders()))


COMMANDS = list(random_commands(11, 700, instruments=2, wild=False))
BLOCKS = chain_of(COMMANDS, block_size=16).blocks


class Written(EmptyTables):
    """Tables in dictionaries, of everything that was projected."""

    def __init__(self) -> None:
        self.orders: dict[int, Order] = {}
        self.rows: dict[tuple[int, str], Balance] = {}
        self.minutes: dict[tuple[str, int], Candle] = {}
        self.days: dict[date, TradingDay] = {}
        self.history: list[object] = []
        self.definitions: list[Definition] = []

    def write(self, projection: Projection) -> None:
        self.orders |= {row.order_id: row for row in projection.orders}
        self.rows |= {(row.account, row.asset): row for row in projection.balances}
        self.minutes |= {(row.symbol, row.minute_ns): row for row in projection.candles}
        self.days |= {row.day: row for row in projection.days}
        self.history += [*projection.trades, *projection.ledger_events]
        self.definitions += projection.definitions

    def everything(self) -> list[object]:
        return [self.orders, self.rows, self.minutes, self.days, sorted(self.history, key=repr), self.definitions]

    def get_orders(self, order_ids: Any) -> list[Order]:
        return [self.orders[key] for key in order_ids if key in self.orders]

    def get_balances(self, keys: Any) -> list[Balance]:
        return [self.rows[key] for key in keys if key in self.rows]

    def get_candles(self, keys: Any) -> list[Candle]:
        return [self.minutes[key] for key in keys if key in self.minutes]

    def trading_day(self, day: date) -> TradingDay | None:
        return self.days.get(day)


def written_at_once() -> list[object]:
    tables = Written()
    tables.write(Projector(tables, kept=None).project(BLOCKS))
    return tables.everything()


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(1, 20), min_size=1), kept=st.integers(1, 50), restarts=st.sets(st.integers(0, 20)))
def test_any_batches_any_memory_and_any_restarts_give_the_same_rows(
    sizes: list[int], kept: int, restarts: set[int]
) -> None:
    tables = Written()
    projector = Projector(tables, kept=kept)
    start = batch = 0
    while start < len(BLOCKS):
        if batch in restarts:
            projector = Projector(tables, tables.definitions, kept=kept)
        size = sizes[batch % len(sizes)]
        tables.write(projector.project(BLOCKS[start : start + size]))
        start, batch = start + size, batch + 1
    assert tables.everything() == written_at_once()


def test_a_projection_that_could_not_read_may_be_asked_for_again() -> None:
    chain = worked_example()
    failures = [StoreUnavailable("The database does not answer.")]

    class Failing(EmptyTables):
        def trading_day(self, day: date) -> TradingDay | None:
            if failures:
                raise failures.pop()
            return None

    projector = Projector(Failing(), kept=None)
    with pytest.raises(StoreUnavailable):
        projector.project(chain.blocks)
    assert projector.project(chain.blocks) == forgetless().project(chain.blocks)


def test_rows_newer_than_the_checkpoint_are_not_built_upon() -> None:
    chain = worked_example()
    tables = Written()
    tables.write(forgetless().project(chain.blocks))
    with pytest.raises(StoreDamaged, match="rebuild_projections"):
        Projector(tables, tables.definitions, kept=9).project(chain.blocks[3:])


def test_an_order_that_the_tables_have_lost_is_reported() -> None:
    chain = worked_example()
    tables = Written()
    tables.write(forgetless().project(chain.blocks))
    del tables.orders[7]
    chain.add(order(1, "sell", "20000", "0.1"))
    with pytest.raises(StoreDamaged, match="does not have order 7"):
        Projector(tables, tables.definitions, kept=9).project(chain.blocks[4:])


def test_a_balance_that_is_too_small_for_its_events_is_reported() -> None:
    chain = worked_example()
    tables = Written()
    tables.write(forgetless().project(chain.blocks))
    tables.rows[2, "USD"] = Balance(2, "USD", 0, 0, 8)
    chain.add(order(1, "sell", "20000", "0.1"))
    with pytest.raises(StoreDamaged, match="does not fit the stored balances"):
        Projector(tables, tables.definitions, kept=9).project(chain.blocks[4:])


def test_the_trades_of_one_block_need_its_instruments_only() -> None:
    chain = worked_example()
    assert trades_of(chain.blocks[-1], chain.engine.registry) == forgetless().project(chain.blocks).trades
