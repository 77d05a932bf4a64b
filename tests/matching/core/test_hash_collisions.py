"""Keys whose hashes have the same upper half, which is all of it that a table stores, are told apart."""

import numpy as np
import numpy.typing as npt
import pytest

from matching.core.texts import text_hash
from tests.matching.core.test_kernel_tables import mix_all
from tests.matching.core.test_limits import Market

Hashes = npt.NDArray[np.uint64]
MANY = 1 << 17
"""Of so many hashes of 32 bits some are equal: there are 2^33 pairs of them, and 2^32 values."""


@pytest.fixture
def market() -> Market:
    made = Market()
    made.fund_all()
    return made


def mixed(numbers: Hashes, second: int) -> Hashes:
    found: Hashes = np.zeros(len(numbers), np.uint64)
    mix_all(numbers, np.int64(second), found)
    return found


def colliding(hashes: Hashes) -> list[int]:
    """Indexes of two hashes with the same upper half."""
    order = np.argsort(hashes)
    upper = hashes[order] >> np.uint64(32)
    at = int(np.flatnonzero(upper[1:] == upper[:-1])[0])
    return [int(order[at]), int(order[at + 1])]


def text_hashes(prefix: str) -> Hashes:
    return np.array([text_hash(f"{prefix}{number}".encode()) for number in range(MANY)], np.uint64)


def test_accounts_with_colliding_hashes_have_their_own_balances_and_orders(market: Market) -> None:
    accounts = colliding(mixed(np.arange(MANY, dtype=np.uint64), 0))  # 0: also the ids of BASE and of the instrument
    first, second = accounts
    market.do("withdraw", account=1, asset="BASE", amount="100", reference="out")
    assert market.fund(first, "BASE", 10) is None
    assert market.refused(second, "sell", 5, 1) == "insufficient_balance"
    assert market.do("cancel_all", account=second)[-1]["count"] == 0
    assert market.fund(second, "BASE", 7) is None
    for account in accounts:
        assert market.refused(account, "sell", 5, 2) is None
        assert market.refused(account, "sell", 6, 1) is None
    assert (market.balance(first, "BASE"), market.balance(second, "BASE")) == ((7, 3), (4, 3))
    market.check()
    assert [event["account"] for event in market.do("cancel_all", account=second)] == [second] * 3
    assert (market.balance(first, "BASE"), market.balance(second, "BASE")) == ((7, 3), (7, 0))
    market.check()


def test_colliding_client_order_ids_name_their_own_orders(market: Market) -> None:
    first, second = (f"c{number}" for number in colliding(text_hashes("c")))
    for name, price in ((first, 5), (second, 6)):
        assert market.refused(1, "sell", price, 1, client_order_id=name) is None
    cancelled = market.do("cancel", account=1, symbol="BASE-QUOTE", client_order_id=second)
    assert cancelled[-1]["event"] == "order_cancelled"
    assert market.refusal("cancel", account=1, symbol="BASE-QUOTE", client_order_id=second) == "unknown_order"
    assert [order["price"] for order in market.reference.open_orders()] == ["5"]
    market.check()


def test_colliding_references_are_both_new(market: Market) -> None:
    # The account is mixed in.
    first, second = (f"r{number}" for number in colliding(mixed(text_hashes("r"), 1)))
    for reference in (first, second):
        transfer = {"account": 1, "asset": "BASE", "amount": "1", "reference": reference}
        assert market.refusal("withdraw", **transfer) is None
        assert market.refusal("withdraw", **transfer) == "duplicate_reference"
    market.check()
