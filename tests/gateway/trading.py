"""An instrument and accounts of its own for a test, so that tests that share a gateway do not meet in one book."""

from dataclasses import dataclass, field
from itertools import count
from typing import Any

from matching.workloads.btc_usd import instrument
from tests.gateway.running_gateway import RunningGateway
from tests.gateway.signed_client import Answer, SignedClient
from tests.matching.small_exchange import deposit

_numbers = count(1)
_accounts = count(100)


@dataclass
class Market:
    """One instrument, whose symbol is `symbol`, and its traders."""

    gateway: RunningGateway
    symbol: str
    engine_symbol: str
    base: str
    clients: dict[str, SignedClient] = field(default_factory=dict)
    accounts: dict[str, int] = field(default_factory=dict)

    def trader(self, name: str, *, base: str = "1000", usd: str = "1000000") -> SignedClient:
        """The client of a trader with these funds, made when it is first asked for."""
        if name not in self.clients:
            account = self.accounts[name] = next(_accounts)
            funds = [
                deposit(account, f"{asset}-{account}", asset, amount)
                for asset, amount in ((self.base, base), ("USD", usd))
                if amount != "0"
            ]
            if funds:
                self.gateway.call(*funds)
            self.clients[name] = SignedClient(self.gateway.url, *self.gateway.keys.add(account))
        return self.clients[name]

    def place(self, name: str, side: str, quantity: str, price: str | None = None, **more: Any) -> Answer:
        """A limit order that is GTC, or a market order without a price."""
        values: dict[str, Any] = {"symbol": self.symbol, "side": side, "quantity": quantity}
        if price is None:
            values |= {"type": "MARKET"}
        else:
            values |= {"type": "LIMIT", "timeInForce": "GTC", "price": price}
        values |= more
        return self.trader(name).post("order", **{key: value for key, value in values.items() if value is not None})

    def trade_at(self, price: str) -> None:
        """Two others trade one lot, so that this is the last price."""
        assert self.place("other seller", "SELL", "0.0001", price).status == 200
        assert self.place("other buyer", "BUY", "0.0001", price).body["status"] == "FILLED"


def new_market(gateway: RunningGateway, **values: Any) -> Market:
    """`values` are those of the instrument's definition."""
    base = f"A{next(_numbers)}X"
    definition = {**instrument(base), **values}
    gateway.call({"command": "asset", "symbol": base, "decimals": 8}, definition)
    return Market(gateway, f"{base}USD", definition["symbol"], base)
