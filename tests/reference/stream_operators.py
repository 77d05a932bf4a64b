"""Random deposits, withdrawals and commands of operators. What they restrict is lifted again after a while."""

from collections.abc import Callable, Iterator

from tests.reference import plain_decimal
from tests.reference.commands import Asset
from tests.reference.ledger import SUPPLY_LIMIT
from tests.reference.orders import Order
from tests.reference.stream_market import StreamMarket
from tests.reference.stream_templates import DECIMALS, Json

PPM = 1_000_000


class OperatorCommands:
    def __init__(self, market: StreamMarket) -> None:
        self.market = market
        self.references = 0

    # What every stream begins with

    def setup(self) -> Iterator[Json]:
        market = self.market
        for asset in market.assets:
            yield {"command": "asset", "symbol": asset, "decimals": DECIMALS[asset]}
        for symbol, template in market.templates.items():
            yield {**template.definition, "symbol": symbol}
        for account in market.accounts:
            for asset in market.assets:
                yield self._transfer("deposit", account, asset, self._share(asset))

    def _share(self, asset: str) -> int:
        """Initial deposit of an account: all accounts together get half of the maximum supply."""
        return min(SUPPLY_LIMIT // (2 * len(self.market.accounts)), int(10 ** (DECIMALS[asset] + 9)))

    # Money

    def deposit(self) -> Json:
        """Most deposits go to the account with the lowest balance, so that fees do not stop the trading."""
        market, asset = self.market, self.market.asset()
        room = SUPPLY_LIMIT - market.exchange.state.funds.supply.get(asset.symbol, 0)
        poorest = min(market.accounts, key=lambda account: (market.available(account, asset), account))
        account = poorest if market.chance(80) else market.random.choice(market.accounts)
        amount = market.pick(
            (80, min(self._share(asset.symbol), room)),
            (5, room),
            (5, room + 1),
            (4, SUPPLY_LIMIT),
            (3, 0),
            (3, -1),
        )
        return self._transfer("deposit", account, asset.symbol, amount)

    def withdraw(self) -> Json:
        market, asset = self.market, self.market.asset()
        richest = max(market.accounts, key=lambda account: (market.available(account, asset), account))
        account = richest if market.chance(80) else market.random.choice(market.accounts)
        available = market.available(account, asset)
        amount = market.pick((70, available // 2), (10, available), (10, available + 1), (5, 1), (3, 0), (2, -1))
        return self._transfer("withdraw", account, asset.symbol, amount)

    def drain(self) -> Json:
        """Withdraws all that is left to an account whose waiting order will lock anew when it is triggered, soon."""
        order = self._next_to_trigger(lambda order: order.is_buy and order.price is None)
        if order is None:
            return self.withdraw()
        available = self.market.available(order.account, order.instrument.quote)
        return self._transfer("withdraw", order.account, order.locked_asset, available)

    def _next_to_trigger(self, fits: Callable[[Order], bool]) -> Order | None:
        """Of the waiting orders that fit, one of those whose trigger is nearest to the last trade price."""
        waiting = [order for order in self.market.exchange.open.values() if order.is_waiting and fits(order)]
        known = [order for order in waiting if order.instrument.symbol in self.market.templates]
        nearest = sorted(known, key=lambda order: (self._ticks_to_trigger(order), order.order_id))[:3]
        return self.market.random.choice(nearest) if nearest else None

    def _ticks_to_trigger(self, order: Order) -> int:
        last = self.market.market(order.instrument).last_price or 0
        return abs((order.trigger_price or 0) - last)

    def _transfer(self, command: str, account: int, asset: str, amount: int) -> Json:
        self.references += 1
        earlier = self.references > 50 and self.market.chance(10)
        number = 1 + self.market.random.randrange(self.references) if earlier else self.references
        unit = Asset(asset, DECIMALS[asset]).unit
        return {
            "command": command,
            "account": account,
            "asset": asset,
            "amount": self.market.write(amount, unit),
            "reference": f"tx-{number}",
        }

    # Instruments

    def status(self) -> Json:
        status = self.market.pick((40, "trading"), (30, "cancel_only"), (30, "halted"))
        return {"command": "instrument_status", "symbol": self.market.instrument().symbol, "status": status}

    def again(self) -> Json:
        """A definition that exists already."""
        if self.market.chance(50):
            asset = self.market.asset()
            return {"command": "asset", "symbol": asset.symbol, "decimals": self.market.random.randrange(19)}
        symbol = self.market.instrument().symbol
        return {**self.market.templates[symbol].definition, "symbol": symbol}

    def update(self) -> Json:
        """Sets one or two values of an instrument."""
        market, instrument = self.market, self.market.instrument()
        template = market.templates[instrument.symbol]
        band = max(1, template.spread_ticks * PPM // template.middle_ticks)
        most_open = max(market.exchange.state.open_count(account, instrument.symbol) for account in market.accounts)
        least, most = instrument.min_quantity, instrument.max_quantity
        values: Json = {
            "maker_fee": market.random.randrange(PPM) if market.chance(5) else market.random.randrange(5000),
            "taker_fee": market.random.randrange(PPM) if market.chance(5) else market.random.randrange(5000),
            "min_quantity": market.write(
                market.pick((80, least), (15, max(1, least + market.random.randrange(-1, 2))), (5, most + 1)),
                instrument.lot_size,
            ),
            "max_quantity": market.write(market.pick((90, most), (5, most + 1), (5, least)), instrument.lot_size),
            "min_notional": market.write(
                max(0, instrument.min_notional + market.random.randrange(-1, 2)), instrument.quote.unit
            ),
            "price_band": min(PPM - 1, market.random.choice((1, band // 10, band // 5, band // 3, band))),
            "max_open_orders": most_open + market.random.randrange(3),
        }
        names = market.random.sample(sorted(values), market.pick((70, 1), (30, 2)))
        if market.chance(50):
            names = market.pick((60, ["price_band"]), (40, ["max_open_orders"]))
        return {"command": "instrument_update", "symbol": instrument.symbol, **{name: values[name] for name in names}}

    # Accounts

    def account_status(self) -> Json:
        status = self.market.pick((20, "active"), (40, "no_trading"), (40, "frozen"))
        concerned = self._next_to_trigger(lambda order: True) if self.market.chance(50) else None
        account = self.market.account() if concerned is None else concerned.account
        return {"command": "account_status", "account": account, "status": status}

    def account_fees(self) -> Json:
        market = self.market
        command: Json = {"command": "account_fees", "account": market.account()}
        if market.chance(60):
            command["symbol"] = market.instrument().symbol
        rates = [market.random.randrange(3000) for _ in range(2)] if market.chance(70) else [None, None]
        return {**command, "maker_fee": rates[0], "taker_fee": rates[1]}

    # Back to normal

    def lift_restriction(self) -> Json | None:
        """A command that opens what is closed, by chance, so that the trading goes on."""
        market = self.market
        for percent, lifting in (
            (15, self._reopenings()),
            (3, self._account_activations()),
            (10, self._defined_quantities()),
            (2, self._without("price_band")),
            (2, self._without("max_open_orders")),
        ):
            if lifting and market.chance(percent):
                return market.random.choice(lifting)
        return None

    def _reopenings(self) -> list[Json]:
        return [
            {"command": "instrument_status", "symbol": symbol, "status": "trading"}
            for symbol, status in self.market.exchange.status.items()
            if status != "trading"
        ]

    def _account_activations(self) -> list[Json]:
        statuses = self.market.exchange.state.accounts.statuses
        return [
            {"command": "account_status", "account": account, "status": "active"}
            for account in sorted(statuses)
            if statuses[account] != "active"
        ]

    def _defined_quantities(self) -> list[Json]:
        """For instruments with another highest or lowest quantity than in the template."""
        updates: list[Json] = []
        for symbol, template in self.market.templates.items():
            instrument = self.market.exchange.edge.instruments.get(symbol)
            if instrument is None:
                continue
            for name in ("min_quantity", "max_quantity"):
                defined = template.definition[name]
                if plain_decimal.write(getattr(instrument, name), instrument.lot_size) != defined:
                    updates.append({"command": "instrument_update", "symbol": symbol, name: defined})
        return updates

    def _without(self, name: str) -> list[Json]:
        """For instruments with a price band, or a limit of open orders."""
        return [
            {"command": "instrument_update", "symbol": symbol, name: 0}
            for symbol, instrument in self.market.exchange.edge.instruments.items()
            if getattr(instrument, name)
        ]
