"""Trades and orders of an account in one instrument, and by client order id: every store finds them alike."""

import pytest

from settlement.stores.base import Order, Store, Trade
from tests.settlement.rows import MOST, order, projection, trade

SYMBOLS = ("A", "B", "C")


def ids(rows: list[Trade] | list[Order]) -> list[int]:
    return [row[0] for row in rows]


@pytest.fixture
def filled(store: Store) -> Store:
    """Order and trade n are in instrument n % 3; account 1 has each second order, and is in trades as told."""
    trades = [trade(n, buyer=1 + n % 2, seller=1 + n // 2 % 2, symbol=SYMBOLS[n % 3]) for n in range(1, 31)]
    orders = [order(n, account=1 + n % 2, symbol=SYMBOLS[n % 3]) for n in range(1, 31)]
    store.insert_batch(projection(1, trades=trades, orders=orders))
    return store


def test_an_account_sees_its_trades_in_one_instrument_once_each(filled: Store) -> None:
    expected = [n for n in range(1, 31) if n % 3 == 1 and 1 in (1 + n % 2, 1 + n // 2 % 2)]
    assert ids(filled.get_trades_by_account(1, 99, symbol="B")) == expected[::-1]
    assert ids(filled.get_trades_by_account(1, 2, symbol="B", before=expected[-2])) == expected[-3:-5:-1]
    assert filled.get_trades_by_account(1, 99, symbol="D") == []
    assert filled.get_trades_by_account(9, 99, symbol="B") == []


def test_trades_of_an_account_are_paged_from_the_oldest(filled: Store) -> None:
    expected = [n for n in range(1, 31) if n % 3 == 1 and 1 in (1 + n % 2, 1 + n // 2 % 2)]
    found: list[int] = []
    while page := filled.get_trades_by_account_range(1, "B", first=found[-1] + 1 if found else 0, last=MOST, limit=2):
        found += ids(page)
    assert found == expected
    within = filled.get_trades_by_account_range(1, "B", first=expected[1], last=expected[3], limit=99)
    assert ids(within) == expected[1:4]
    assert filled.get_trades_by_account_range(1, "B", first=20, last=10, limit=99) == []


def test_all_trades_of_an_account_are_in_one_order_whatever_the_instrument(filled: Store) -> None:
    expected = [n for n in range(1, 31) if 1 in (1 + n % 2, 1 + n // 2 % 2)]
    assert ids(filled.get_trades_by_account(1, 99)) == expected[::-1]
    assert ids(filled.get_trades_by_account(1, 4, before=20)) == [n for n in expected[::-1] if n < 20][:4]


def test_an_account_sees_its_orders_in_one_instrument(filled: Store) -> None:
    expected = [n for n in range(1, 31) if n % 3 == 2 and n % 2 == 0]
    assert ids(filled.get_orders_by_account(1, 99, symbol="C")) == expected[::-1]
    assert ids(filled.get_orders_by_account(1, 1, symbol="C", before=20)) == [14]
    assert ids(filled.get_orders_by_account_range(1, "C", first=8, last=MOST, limit=2)) == [8, 14]
    assert ids(filled.get_orders_by_account_range(1, "C", first=9, last=20, limit=9)) == [14, 20]
    assert ids(filled.get_orders_by_account(1, 99)) == list(range(30, 0, -2))
    assert filled.get_orders_by_account(1, 99, symbol="D") == []
    assert filled.get_orders_by_account_range(9, "C", first=0, last=MOST, limit=9) == []


def test_orders_are_found_by_client_order_id_also_when_closed(store: Store) -> None:
    orders = [
        order(1, client_order_id="mine", status="filled"),
        order(2, client_order_id="mine", status="cancelled", symbol="B"),
        order(3, client_order_id="mine", account=2),
        order(4, client_order_id="other"),
        order(5),
    ]
    store.insert_batch(projection(1, orders=orders))
    assert store.get_orders_by_client_order_id(1, "mine", 9) == [orders[1], orders[0]]
    assert store.get_orders_by_client_order_id(1, "mine", 1) == [orders[1]]
    assert store.get_orders_by_client_order_id(2, "mine", 9) == [orders[2]]
    assert store.get_orders_by_client_order_id(2, "other", 9) == []
    assert store.get_orders_by_client_order_id(1, "", 9) == []


def test_an_order_that_was_renamed_is_found_by_its_new_client_order_id_alone(store: Store) -> None:
    placed = order(1, client_order_id="first")
    store.insert_batch(projection(1, orders=[placed, order(2)]))
    renamed = placed._replace(client_order_id="second", updated_sequence=3)
    named = order(2, client_order_id="late", updated_sequence=4)
    store.insert_batch(projection(2, orders=[renamed, named]))
    assert store.get_orders_by_client_order_id(1, "second", 9) == [renamed]
    assert store.get_orders_by_client_order_id(1, "late", 9) == [named]
    assert store.get_orders_by_client_order_id(1, "first", 9) == []


@pytest.mark.parametrize("number", [2**63, 10**30, -(10**30)])
def test_a_number_that_no_row_can_have_finds_nothing(filled: Store, number: int) -> None:
    assert filled.get_trades_by_account(number, 5, symbol="A") == []
    assert filled.get_orders_by_account(number, 5, symbol="A") == []
    assert filled.get_trades_by_account_range(number, "A", first=0, last=MOST, limit=5) == []
    assert filled.get_orders_by_account_range(number, "A", first=0, last=MOST, limit=5) == []
    assert filled.get_orders_by_client_order_id(number, "mine", 5) == []
    assert len(filled.get_orders_by_account_range(1, "A", first=-(10**30), last=10**30, limit=99)) == 5
