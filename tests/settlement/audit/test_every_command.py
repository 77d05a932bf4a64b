"""Rows of a market made by commands of every kind, compared with the rules, the engine and the blocks."""

from pathlib import Path

import pytest

from matching.core.engine import Engine
from settlement.audit import reconciliation, verify
from settlement.stores.base import AccountSetting, Order, Store
from tests.settlement import every_command
from tests.settlement.audit.test_reconciliation import state
from tests.settlement.conftest import Settle
from tests.settlement.every_command import ENDINGS, SYMBOL, TRADES, Ending
from tests.settlement.fakes import FakeClock, feed_of
from tests.settlement.rows import MOST

CHAIN = every_command.market()


@pytest.fixture
def settled(store: Store, settle: Settle, clock: FakeClock) -> Store:
    settle(store, feed_of(clock, CHAIN.blocks))
    return store


def ending(row: Order) -> Ending:
    return Ending(
        status=row.status,
        reason=row.reason,
        filled=row.filled,
        remaining=row.remaining,
        trigger_price=row.trigger_price,
        visible_quantity=row.visible_quantity,
        is_triggered=row.triggered_at_ns is not None,
        is_in_list=row.order_list_id is not None,
    )


def test_every_order_ends_as_the_rules_say(settled: Store) -> None:
    rows = settled.get_orders_by_sequence_range(0, MOST, 1000)
    assert {row.client_order_id: ending(row) for row in rows} == ENDINGS
    assert [row.client_order_id for row in settled.open_orders()] == [
        name for name, expected in ENDINGS.items() if expected.status in ("open", "waiting")
    ]


def test_every_trade_has_the_fees_of_its_parties_and_the_next_number(settled: Store) -> None:
    trades = settled.get_trades_by_sequence_range(0, MOST, 1000)
    assert [(trade.price, trade.quantity, trade.buyer_fee, trade.seller_fee) for trade in trades] == TRADES
    assert [trade.trade_number for trade in trades] == list(range(1, len(TRADES) + 1))


def test_account_settings_are_the_last_ones(settled: Store) -> None:
    assert [row[:-1] for row in settled.account_settings()] == [
        (1, "status", "", "active", None, None),
        (2, "fees", "", None, 0, 500),
        (2, "fees", SYMBOL, None, 100, 300),
        (3, "fees", "", None, None, None),
        (4, "status", "", "frozen", None, None),
    ]
    assert all(isinstance(row, AccountSetting) for row in settled.account_settings())


def test_the_engine_agrees(settled: Store, clock: FakeClock) -> None:
    report = reconciliation.reconcile(state(CHAIN.engine), settled, clock, deadline_s=1)
    assert report.differences == []
    assert report.open_orders == sum(row.status in ("open", "waiting") for row in ENDINGS.values())
    assert (report.changed_since, report.account_settings) == (0, 3)


def test_the_engine_agrees_after_each_block(settled: Store, clock: FakeClock) -> None:
    engine = Engine()
    for block in CHAIN.blocks:
        engine.follow(block)
        report = reconciliation.reconcile(state(engine), settled, clock, deadline_s=1)
        assert report.differences == []
        assert report.open_orders + report.changed_since == engine.open_order_count


def test_the_blocks_agree(settled: Store, folder: Path) -> None:
    report = verify.verify(settled, folder, Engine())
    assert report.differences == []
    assert report.trades == len(TRADES)
