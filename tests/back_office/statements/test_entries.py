"""Opening and closing balances of a statement, against the sums of all entries of the ledger."""

from datetime import date, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from back_office.statements.entries import AssetBalance, Statement, StatementFilter
from back_office.statements.period import Days
from settlement.stores.base import LedgerEvent, Store
from tests.back_office.conftest import NOON_NS
from tests.back_office.market import Market
from tests.settlement.conftest import empty

DAY_NS = 86_400 * 10**9
FIRST = date(2026, 1, 1)
EPOCH_DAY = (FIRST - date(1970, 1, 1)).days

days = st.none() | st.integers(-1, 6).map(lambda number: FIRST + timedelta(days=number))
orders = st.tuples(st.integers(1, 4), st.sampled_from(("buy", "sell")), st.integers(1, 5000))
trades = st.tuples(st.sampled_from(((1, 2), (2, 3), (3, 1))), st.integers(1, 5000))
moves = st.lists(st.tuples(st.integers(0, 2), st.lists(orders, max_size=3), st.lists(trades, max_size=3)), max_size=6)


def sums(entries: list[LedgerEvent], asset: str) -> AssetBalance:
    """By adding up every change, in contrast to a statement, which reads the balance after the last one."""
    of_asset = [entry for entry in entries if entry.asset == asset]
    return AssetBalance(asset, sum(one.delta_available for one in of_asset), sum(one.delta_locked for one in of_asset))


def is_in(entry: LedgerEvent, first: date | None, last: date | None) -> bool:
    day = FIRST + timedelta(days=entry.timestamp_ns // DAY_NS - EPOCH_DAY)
    return (first is None or day >= first) and (last is None or day <= last)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=moves, account=st.integers(0, 5), first=days, last=days, asset=st.sampled_from((None, "BTC", "USD")))
def test_balances_and_running_balance_agree_with_the_sums_of_all_entries(
    store: Store,
    moves: list[tuple[int, list[tuple[int, str, int]], list[tuple[tuple[int, int], int]]]],
    account: int,
    first: date | None,
    last: date | None,
    asset: str | None,
) -> None:
    empty(store)
    market = Market(store, NOON_NS)
    market.open()
    for days_later, placed, traded in moves:
        market.time_ns += days_later * DAY_NS
        for owner, side, quantity in placed:
            market.place(owner, "BTC-USD", side, 6_512_300, quantity)
        for (maker, taker), quantity in traded:
            market.trade("BTC-USD", 6_512_300, quantity, maker=maker, taker=taker)
        market.settle()
    if first and last and first > last:
        first, last = last, first

    ledger = store.get_ledger_events(0, 10**6)
    own = [one for one in ledger if one.account == account and asset in (None, one.asset)]
    inside = [one for one in own if is_in(one, first, last)]
    before = [one for one in own if first is not None and not is_in(one, first, None)]
    names = sorted({one.asset for one in own}) if asset is None else [asset]

    statement = Statement(store, StatementFilter(account, asset, Days(first, last), before=None))
    assert statement.openings() == [sums(before, name) for name in names]
    assert statement.closings() == [sums(before + inside, name) for name in names]
    found = list(statement.all())
    assert found == inside[::-1]

    running = {one.asset: one for one in statement.openings()}
    for entry in reversed(found):
        old = running[entry.asset]
        new = AssetBalance(entry.asset, old.available + entry.delta_available, old.locked + entry.delta_locked)
        assert (new.available, new.locked) == (entry.available_after, entry.locked_after)
        running[entry.asset] = new
    assert list(running.values()) == statement.closings()


def test_pages_of_a_period_are_pieces_of_its_entries(market: Market, store: Store) -> None:
    for _ in range(3):
        market.time_ns += DAY_NS
        market.run(10, step_ns=0)
    day = FIRST + timedelta(days=2)
    statement = Statement(store, StatementFilter(1, None, Days(day, day), before=None))
    whole = list(statement.all())
    assert len(whole) > 10
    pieces: list[LedgerEvent] = []
    key = None
    while piece := statement.newest(4, key):
        pieces += piece
        key = piece[-1][:2]
    assert pieces == whole
    after_the_period = store.newest_trades(1)[0].trade_id + 1, 0
    assert statement.newest(4, after_the_period) == whole[:4]


def test_a_statement_without_days_has_no_balances(market: Market, store: Store) -> None:
    statement = Statement(store, StatementFilter(1, None, None, before=None))
    assert statement.openings() == statement.closings() == []
    assert len(list(statement.all())) == 3


@pytest.mark.parametrize("account", [99, 0])
def test_an_account_without_entries_has_a_statement_without_assets(market: Market, store: Store, account: int) -> None:
    statement = Statement(store, StatementFilter(account, None, Days(FIRST, None), before=None))
    assert statement.openings() == statement.closings() == []
    assert list(statement.all()) == []
    of_asset = Statement(store, StatementFilter(account, "BTC", Days(FIRST, None), before=None))
    assert of_asset.openings() == of_asset.closings() == [AssetBalance("BTC")]
