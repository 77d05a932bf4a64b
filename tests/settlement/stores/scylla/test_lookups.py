"""Cost of lookups on the ScyllaDB store: rows and sequential round trips do not grow with unrelated rows in between."""

from collections.abc import Callable
from functools import partial

import pytest

from settlement.stores.scylla import statements as cql
from settlement.stores.scylla.connection.session import FIRST_PAGE
from settlement.stores.scylla.keys import ACCOUNTS_PER_BUCKET, BUCKET_SIZE, PART_SIZE, SLICE_SIZE
from settlement.stores.scylla.store import ScyllaStore
from tests.settlement.rows import balance, candle, entry, order, projection, trade
from tests.settlement.scylla_requests import Requests

pytestmark = [pytest.mark.services("cassandra"), pytest.mark.django_db]

LIMIT = 51
"""As a page of the back office asks."""
RARE = "ETH-USD"
DENSE = 150
"""Rows of another instrument in a slice."""
SLICES = LIMIT + 9
"""That hold a row of the rare one: the first of each."""
MONTH_NS = 31 * 86_400 * 10**9


@pytest.fixture
def scylla(new_scylla: Callable[[], ScyllaStore]) -> ScyllaStore:
    return new_scylla()


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Requests:
    return Requests(monkeypatch)


def symbol_of(number: int) -> str:
    return RARE if number % SLICE_SIZE == 0 else "BTC-USD"


NUMBERS = [SLICE_SIZE * number + place for number in range(SLICES) for place in range(DENSE)]
RARE_ONES = NUMBERS[::DENSE]


def test_trades_of_a_rare_instrument_are_found_between_those_of_another(
    scylla: ScyllaStore, requests: Requests
) -> None:
    scylla.insert_rows(projection(trades=[trade(number, symbol=symbol_of(number)) for number in NUMBERS]))
    for find, expected in (
        (partial(scylla.newest_trades, LIMIT, symbol=RARE), RARE_ONES[: -LIMIT - 1 : -1]),
        (partial(scylla.get_trades_by_sequence_range, 0, 10**9, LIMIT, RARE), RARE_ONES[:LIMIT]),
    ):
        find()  # prepares the statements
        requests.forget()
        assert [row.trade_id for row in find()] == expected
        assert requests.rows(cql.GET_TRADES) == LIMIT
        assert requests.rows(cql.TRADES_IN_BUCKET, cql.TRADES_IN_BUCKET_DESCENDING) == 0
        assert requests.waits <= 20


def test_orders_of_a_rare_instrument_are_found_between_those_of_another(
    scylla: ScyllaStore, requests: Requests
) -> None:
    scylla.insert_rows(projection(orders=[order(number, symbol=symbol_of(number)) for number in NUMBERS]))
    scylla.newest_orders(LIMIT, symbol=RARE)
    requests.forget()
    assert [row.order_id for row in scylla.newest_orders(LIMIT, symbol=RARE)] == RARE_ONES[: -LIMIT - 1 : -1]
    assert requests.rows(cql.GET_ORDERS) == LIMIT
    assert requests.rows(cql.ORDERS_IN_BUCKET_DESCENDING) == 0
    assert requests.waits <= 15


def test_a_page_of_a_busy_instrument_reads_one_slice(scylla: ScyllaStore, requests: Requests) -> None:
    trades = [trade(number) for number in NUMBERS[: 20 * DENSE]]
    scylla.insert_rows(projection(trades=trades))
    scylla.newest_trades(LIMIT, symbol="BTC-USD")
    requests.forget()
    assert scylla.newest_trades(LIMIT, symbol="BTC-USD") == trades[: -LIMIT - 1 : -1]
    assert requests.rows(cql.TRADE_SYMBOLS) == DENSE


def test_rows_that_lie_far_apart_are_asked_for_together(scylla: ScyllaStore, requests: Requests) -> None:
    trades = [trade(BUCKET_SIZE * number, timestamp_ns=number * MONTH_NS // 20) for number in range(SLICES)]
    orders = [order(BUCKET_SIZE * number) for number in range(SLICES)]
    balances = [balance(ACCOUNTS_PER_BUCKET * number) for number in range(SLICES)]
    holdings = [entry(BUCKET_SIZE, account=ACCOUNTS_PER_BUCKET * number) for number in range(SLICES)]
    scylla.insert_rows(projection(trades=trades, orders=orders, balances=balances, ledger_events=holdings))
    for found, expected in (
        (lambda: scylla.newest_trades(LIMIT), trades[: -LIMIT - 1 : -1]),
        (lambda: scylla.get_trades_by_sequence_range(0, 10**9, LIMIT), trades[:LIMIT]),
        (lambda: scylla.newest_orders(LIMIT), orders[: -LIMIT - 1 : -1]),
        (lambda: scylla.get_orders_by_sequence_range(0, 10**9, LIMIT), orders[:LIMIT]),
        (lambda: list(scylla.balances(limit=LIMIT)), balances[:LIMIT]),
    ):
        found()
        requests.forget()
        assert found() == expected
        assert requests.waits <= 20


def test_an_account_that_rarely_trades_is_read_part_by_part_together(scylla: ScyllaStore, requests: Requests) -> None:
    trades = [trade(PART_SIZE * number, timestamp_ns=number * MONTH_NS) for number in range(SLICES)]
    orders = [order(PART_SIZE * number, placed_at_ns=number * MONTH_NS) for number in range(SLICES)]
    scylla.insert_rows(projection(trades=trades, orders=orders))
    for found, expected in (
        (lambda: scylla.get_trades_by_account(1, LIMIT), trades[: -LIMIT - 1 : -1]),
        (lambda: scylla.get_orders_by_account(1, LIMIT), orders[: -LIMIT - 1 : -1]),
    ):
        found()
        requests.forget()
        assert found() == expected
        assert requests.waits <= 20


def test_an_index_is_read_as_far_as_a_page_goes(scylla: ScyllaStore, requests: Requests) -> None:
    trades = [trade(BUCKET_SIZE * number) for number in range(5 * FIRST_PAGE)]
    scylla.insert_rows(projection(trades=trades))
    scylla.newest_trades(1)
    requests.forget()
    assert scylla.newest_trades(1) == trades[:-2:-1]
    assert requests.rows(cql.CHILDREN_DESCENDING) <= FIRST_PAGE + 3


def test_every_page_of_an_answer_is_a_request_that_is_timed(
    scylla: ScyllaStore, requests: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    trades = [trade(BUCKET_SIZE * number) for number in range(5 * FIRST_PAGE)]
    scylla.insert_rows(projection(trades=trades))
    timed: list[str] = []
    monkeypatch.setattr(scylla._session._times, "note", lambda name, began: timed.append(name))
    requests.forget()
    assert list(scylla._index.walk("trades")) == list(range(5 * FIRST_PAGE))
    pages = requests.statements.count(cql.CHILDREN)
    assert pages == 3 + 3  # levels above the leaves; 64, 128 and 128 leaves
    assert timed.count(cql.CHILDREN) == pages


def test_a_statement_over_fifty_assets_waits_as_for_one(scylla: ScyllaStore, requests: Requests) -> None:
    names = [f"A{number:02}" for number in range(50)]
    entries = [entry(number, asset=names[number % 50]) for number in range(3000)]
    scylla.insert_rows(projection(balances=[balance(1, name) for name in names], ledger_events=entries))
    ends = entries[: -LIMIT - 1 : -1], entries[1999 : 1999 - LIMIT : -1]
    for before, expected in zip((None, entries[2000][:2]), ends, strict=True):
        scylla.get_ledger_events_by_account(1, LIMIT, before=before)
        requests.forget()
        assert scylla.get_ledger_events_by_account(1, LIMIT, before=before) == expected
        assert requests.waits <= 12
        assert requests.rows(cql.LEDGER_BEFORE) <= 10 * len(names)


def test_a_statement_whose_entries_are_of_one_asset_reads_on_in_that_one(
    scylla: ScyllaStore, requests: Requests
) -> None:
    names = [f"A{number:02}" for number in range(50)]
    old = [entry(number, asset=names[number]) for number in range(50)]
    busy = [entry(number, asset=names[7]) for number in range(50, 200)]
    scylla.insert_rows(projection(balances=[balance(1, name) for name in names], ledger_events=old + busy))
    scylla.get_ledger_events_by_account(1, LIMIT)
    requests.forget()
    assert scylla.get_ledger_events_by_account(1, LIMIT) == busy[: -LIMIT - 1 : -1]
    assert requests.waits <= 20
    assert scylla.get_ledger_events_by_account(1, 10**3) == busy[::-1] + old[::-1]


def test_assets_whose_newest_part_holds_nothing_older_are_looked_for_together(
    scylla: ScyllaStore, requests: Requests
) -> None:
    names = [f"A{number:02}" for number in range(50)]
    old = [entry(number, asset=names[number]) for number in range(50)]
    new = [entry(PART_SIZE + 500 + number, asset=names[number], timestamp_ns=2 * MONTH_NS) for number in range(50)]
    scylla.insert_rows(projection(balances=[balance(1, name) for name in names], ledger_events=old + new))
    before = (PART_SIZE + 400, 0)
    scylla.get_ledger_events_by_account(1, LIMIT, before=before)
    requests.forget()
    assert scylla.get_ledger_events_by_account(1, LIMIT, before=before) == old[::-1]
    assert requests.waits <= 20


def test_the_minutes_of_fifty_instruments_are_a_request_each(scylla: ScyllaStore, requests: Requests) -> None:
    symbols = [f"A{number:02}-USD" for number in range(50)]
    candles = [candle(minute, symbol=symbol) for symbol in symbols for minute in (1, 2)]
    scylla.insert_rows(projection(candles=candles))
    keys = [(row.symbol, row.minute_ns) for row in candles]
    scylla.get_candles(keys)
    requests.forget()
    assert sorted(scylla.get_candles(keys)) == sorted(candles)
    assert len(requests.statements) == len(symbols)
    assert requests.waits <= 4
