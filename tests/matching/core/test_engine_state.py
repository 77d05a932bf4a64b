"""An engine's state is listed in the order of docs/semantics.md, section 7."""

import random

from tests.matching.exchanges import KernelExchange
from tests.matching.small_exchange import deposit


def test_balances_come_by_account_and_symbol_without_empty_ones() -> None:
    exchange = KernelExchange()
    symbols = ["USD", "BTC", "ETH", "AAVE"]  # in another order than their ids
    for symbol in symbols:
        exchange.submit({"command": "asset", "symbol": symbol, "decimals": 2})
    assert exchange.engine.balances() == []
    held = [(account, symbol) for account in (1, 7, 200, 3_000_000_000) for symbol in symbols]
    random.Random(1).shuffle(held)
    for account, symbol in held:
        exchange.submit(deposit(account, f"{account} {symbol}", symbol, "5"))
    gone = {"command": "withdraw", "account": 7, "asset": "ETH", "amount": "5", "reference": "w"}
    assert exchange.submit(gone)[0]["event"] == "withdrawn"
    expected = sorted((account, symbol, 500, 0) for account, symbol in held if (account, symbol) != (7, "ETH"))
    assert exchange.engine.balances() == expected
    assert {type(value) for value in exchange.engine.balances()[0]} == {int, str}, "JSON takes no others"
