"""Seeded streams of JSON commands that exercise every rule: many orders rest, many trade, some are invalid.

A stream applies its commands to its own reference exchange, so it knows open orders, best prices and balances. The same
arguments give the same commands.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from random import Random
from typing import Any, TypeVar

from tests.reference import plain_decimal
from tests.reference.commands import Asset, Instrument
from tests.reference.engine import ReferenceExchange
from tests.reference.ledger import SUPPLY_LIMIT
from tests.reference.nonsense import FIELDS, NONSENSE_LINES, WRONG_VALUES
from tests.reference.orders import OPPOSITE, Order
from tests.reference.words import SELF_TRADE_MODES

Json = dict[str, Any]
Choice = TypeVar("Choice")

DECIMALS = {"BTC": 8, "USD": 6, "ETH": 18, "WEI": 18, "ONE": 0}
FAR_ACCOUNT = 2**40 + 5
HIGHEST_ACCOUNT = 2**63 - 1
CLIENT_IDS_PER_ACCOUNT = 100


@dataclass(frozen=True)
class Template:
    """A test instrument: definition, start price, spread of prices, usual sizes."""

    definition: Json
    middle_ticks: int
    spread_ticks: int
    usual_lots: int


def _template(symbol: str, sizes: str, limits: str, fees: tuple[int, int], shape: tuple[int, int, int]) -> Template:
    """`sizes` is tick and lot, `limits` minimum quantity, maximum quantity and minimum notional."""
    base, quote = symbol.split("-")
    tick_size, lot_size = sizes.split()
    min_quantity, max_quantity, min_notional = limits.split()
    definition = {
        "command": "instrument",
        "symbol": symbol,
        "base": base,
        "quote": quote,
        "tick_size": tick_size,
        "lot_size": lot_size,
        "min_quantity": min_quantity,
        "max_quantity": max_quantity,
        "min_notional": min_notional,
        "maker_fee": fees[0],
        "taker_fee": fees[1],
    }
    return Template(definition, *shape)


TEMPLATES = (
    _template("BTC-USD", "0.01 0.0001", "0.0002 50 10", (1000, 2500), (2_000_000, 400, 900)),
    # 2^62 smallest units are 4.6 ETH, or 461 lots.
    _template("ETH-BTC", "0.0001 0.01", "0.01 1000 0", (0, 999), (500, 12, 6)),
    # Notionals reach 2^62 at common sizes, and fees take almost all of a trade.
    _template(
        "ONE-WEI",
        "0.000000000000000001 1",
        "1 4611686018427387904 0.000000000000000005",
        (999_999, 999_999),
        (1_500_000_000, 60, 400_000),
    ),
    _template("ETH-WEI", "0.000001 0.000001", "0.000003 1000 0.0000001", (1, 999_999), (1_000_000, 30, 60_000)),
    # Few prices, long queues.
    _template("USD-ONE", "1 1", "1 1000000 3", (100, 0), (50, 4, 40)),
)


def random_commands(
    seed: int, count: int, *, instruments: int = 2, accounts: int = 6, wild: bool = True
) -> Iterator[Json]:
    """`count` commands: definitions and deposits, then trading. Contains malformed commands only if `wild`."""
    market = _Market(Random(seed), instruments, accounts, wild, first_template=seed % len(TEMPLATES))
    setup = market.setup()
    for _ in range(count):
        command = next(setup, None)
        if command is None:
            command = market.next_command()
        market.exchange.submit(command)
        yield command


def random_lines(seed: int, count: int, *, instruments: int = 2, accounts: int = 6, wild: bool = True) -> Iterator[str]:
    """The commands as lines of JSON; if `wild`, with blank and invalid lines in between."""
    random = Random(seed)
    for command in random_commands(seed, count, instruments=instruments, accounts=accounts, wild=wild):
        if wild and random.randrange(100) == 0:
            yield random.choice(NONSENSE_LINES)
        yield json.dumps(command, separators=random.choice([(",", ":"), (", ", ": ")]))


class _Market:
    def __init__(self, random: Random, instruments: int, accounts: int, wild: bool, first_template: int) -> None:
        self.random = random
        self.wild = wild
        self.exchange = ReferenceExchange()
        self.accounts = [*range(accounts - 1), FAR_ACCOUNT] if accounts > 1 else [0]
        self.templates: dict[str, Template] = {}
        for index in range(instruments):
            template = TEMPLATES[(first_template + index) % len(TEMPLATES)]
            turn = index // len(TEMPLATES)
            symbol = template.definition["symbol"] + (f".{turn + 1}" if turn else "")
            self.templates[symbol] = template
        definitions = [template.definition for template in self.templates.values()]
        self.assets = sorted({definition[leg] for definition in definitions for leg in ("base", "quote")})
        self.middles = {symbol: template.middle_ticks for symbol, template in self.templates.items()}
        self.references = 0
        self.depth = 300 * len(self.templates)  # open orders before most new orders trade

    # What every stream begins with

    def setup(self) -> Iterator[Json]:
        for asset in self.assets:
            yield {"command": "asset", "symbol": asset, "decimals": DECIMALS[asset]}
        for symbol, template in self.templates.items():
            yield {**template.definition, "symbol": symbol}
        for account in self.accounts:
            for asset in self.assets:
                yield self._transfer("deposit", account, asset, self._share(asset))

    def _share(self, asset: str) -> int:
        """Initial deposit of an account: all accounts together get half of the maximum supply."""
        return min(SUPPLY_LIMIT // (2 * len(self.accounts)), int(10 ** (DECIMALS[asset] + 9)))

    # One command after the other

    def next_command(self) -> Json:
        closed = [symbol for symbol, status in self.exchange.status.items() if status != "trading"]
        if closed and self._chance(15):
            return {"command": "instrument_status", "symbol": self.random.choice(closed), "status": "trading"}
        command = self._pick(
            (560, self._limit_order),
            (80, self._market_order),
            (70, self._cancel),
            (170, self._replace),
            (2, self._cancel_all),
            (35, self._deposit),
            (30, self._withdraw),
            (6, self._status),
            (4, self._again),
        )()
        return self._spoil(command) if self.wild and self._chance(3) else command

    def _limit_order(self) -> Json:
        instrument = self._instrument()
        side = self.random.choice(("buy", "sell"))
        price = self._price(instrument, side)
        command = self._order_head(instrument, side, "limit")
        command["price"] = self._write(price, instrument.tick_size)
        command["quantity"] = self._write(self._lots(instrument, price), instrument.lot_size)
        time_in_force = self._pick((40, None), (35, "gtc"), (12, "ioc"), (13, "fok"))
        if time_in_force is not None:
            command["time_in_force"] = time_in_force
        if time_in_force not in ("ioc", "fok") and self._chance(15):
            command["post_only"] = self._chance(80)
        return self._order_tail(command)

    def _market_order(self) -> Json:
        instrument = self._instrument()
        side = self.random.choice(("buy", "buy", "sell"))
        command = self._order_head(instrument, side, "market")
        best = (
            self.exchange.state.markets[instrument.symbol].book.best_price(OPPOSITE[side])
            or self.middles[instrument.symbol]
        )
        lots = self._lots(instrument, best)
        if side == "buy" and self._chance(60):
            lot_price = best * instrument.quote_unit
            around = self.random.choice((-1, 0, 1, self.random.randrange(max(1, lot_price))))
            amount = self._pick((80, lots * lot_price + around), (8, lot_price - 1), (4, 0), (4, -1), (4, SUPPLY_LIMIT))
            command["quote_quantity"] = self._write(amount, instrument.quote.unit)
        else:
            command["quantity"] = self._write(lots, instrument.lot_size)
        if self._chance(20):
            command["time_in_force"] = "ioc"
        return self._order_tail(command)

    def _order_head(self, instrument: Instrument, side: str, order_type: str) -> Json:
        account = HIGHEST_ACCOUNT if self._chance(1) else self.random.choice(self.accounts)
        return {
            "command": "order",
            "account": account,
            "symbol": instrument.symbol,
            "side": side,
            "order_type": order_type,
        }

    def _order_tail(self, command: Json) -> Json:
        if self._chance(65):
            command["self_trade_prevention"] = self.random.choice(SELF_TRADE_MODES)
        if self._chance(40):
            command["client_order_id"] = f"c{self.random.randrange(CLIENT_IDS_PER_ACCOUNT)}"
        return command

    def _cancel(self) -> Json:
        return {"command": "cancel", **self._aim(self._open_order())}

    def _replace(self) -> Json:
        order = self._open_order()
        instrument = order.instrument if order is not None else self._instrument()
        price = (
            order.own_price if order is not None and self._chance(50) else self._price(instrument, self._side(order))
        )
        lots = self._lots(instrument, price)
        if order is not None and self._chance(60):
            lots = self.random.choice(
                (order.open_lots, 1 + self.random.randrange(order.open_lots), order.open_lots + 1)
            )
        return {
            "command": "replace",
            **self._aim(order),
            "price": self._write(price, instrument.tick_size),
            "quantity": self._write(lots, instrument.lot_size),
        }

    def _side(self, order: Order | None) -> str:
        return order.side if order is not None else "buy"

    def _aim(self, order: Order | None) -> Json:
        """Usually a correct reference to an order; sometimes another account or instrument, or a closed order."""
        if order is None or self._chance(8):
            gone = 1 + self.random.randrange(self.exchange.command_count + 10)
            symbol = self._instrument().symbol
            return {"account": self.random.choice(self.accounts), "symbol": symbol, "order_id": gone}
        account = self.random.choice(self.accounts) if self._chance(4) else order.account
        symbol = self._instrument().symbol if self._chance(4) else order.instrument.symbol
        head: Json = {"account": account, "symbol": symbol}
        if order.client_order_id is not None and self._chance(60):
            return {**head, "client_order_id": order.client_order_id}
        return {**head, "order_id": order.order_id}

    def _cancel_all(self) -> Json:
        command: Json = {"command": "cancel_all", "account": self.random.choice(self.accounts)}
        if self._chance(60):
            command["symbol"] = self._instrument().symbol
        return command

    # Money

    def _deposit(self) -> Json:
        """Most deposits go to the account with the lowest balance, so that fees do not stop the trading."""
        asset = self._asset()
        room = SUPPLY_LIMIT - self.exchange.state.funds.supply.get(asset.symbol, 0)
        poorest = min(self.accounts, key=lambda account: (self._available(account, asset), account))
        account = poorest if self._chance(80) else self.random.choice(self.accounts)
        amount = self._pick(
            (80, min(self._share(asset.symbol), room)),
            (5, room),
            (5, room + 1),
            (4, SUPPLY_LIMIT),
            (3, 0),
            (3, -1),
        )
        return self._transfer("deposit", account, asset.symbol, amount)

    def _withdraw(self) -> Json:
        asset = self._asset()
        richest = max(self.accounts, key=lambda account: (self._available(account, asset), account))
        account = richest if self._chance(80) else self.random.choice(self.accounts)
        available = self._available(account, asset)
        amount = self._pick((70, available // 2), (10, available), (10, available + 1), (5, 1), (3, 0), (2, -1))
        return self._transfer("withdraw", account, asset.symbol, amount)

    def _transfer(self, command: str, account: int, asset: str, amount: int) -> Json:
        self.references += 1
        earlier = self.references > 50 and self._chance(10)
        number = 1 + self.random.randrange(self.references) if earlier else self.references
        unit = Asset(asset, DECIMALS[asset]).unit
        return {
            "command": command,
            "account": account,
            "asset": asset,
            "amount": self._write(amount, unit),
            "reference": f"tx-{number}",
        }

    def _available(self, account: int, asset: Asset) -> int:
        return self.exchange.state.funds.available(account, asset.symbol)

    # Operators

    def _status(self) -> Json:
        status = self._pick((40, "trading"), (30, "cancel_only"), (30, "halted"))
        return {"command": "instrument_status", "symbol": self._instrument().symbol, "status": status}

    def _again(self) -> Json:
        """A definition that exists already."""
        if self._chance(50):
            asset = self._asset()
            return {"command": "asset", "symbol": asset.symbol, "decimals": self.random.randrange(19)}
        symbol = self._instrument().symbol
        return {**self.templates[symbol].definition, "symbol": symbol}

    # Values

    def _instrument(self) -> Instrument:
        return self.exchange.edge.instruments[self.random.choice(list(self.templates))]

    def _asset(self) -> Asset:
        return self.exchange.edge.assets[self.random.choice(self.assets)]

    def _open_order(self) -> Order | None:
        order = self.random.choice(list(self.exchange.open.values())) if self.exchange.open else None
        # An altered definition may be valid by chance, and an altered order may rest in the new instrument.
        return order if order is not None and order.instrument.symbol in self.templates else None

    def _price(self, instrument: Instrument, side: str) -> int:
        """A price around a moving mid price; small distances are more likely than large ones."""
        template = self.templates[instrument.symbol]
        middle = self.middles[instrument.symbol] + (self.random.choice((-1, 1)) if self._chance(2) else 0)
        self.middles[instrument.symbol] = max(template.spread_ticks + 1, middle)
        distance = self.random.randrange(1 + self.random.randrange(template.spread_ticks))
        passive = distance if side == "sell" else -distance
        crosses = self._chance(12 if len(self.exchange.open) < self.depth else 30)
        usual = middle + (-passive if crosses else passive)
        return self._pick((985, usual), (4, 0), (4, -usual), (4, usual * 10**6), (3, 2**63 - 1))

    def _lots(self, instrument: Instrument, price: int) -> int:
        if self._chance(95):
            size = self.templates[instrument.symbol].usual_lots
            return instrument.min_quantity + self.random.randrange(1 + self.random.randrange(size))
        most = SUPPLY_LIMIT // max(1, price * instrument.quote_unit)
        return self.random.choice(
            (
                *(0, -1, instrument.min_quantity - 1, instrument.max_quantity, instrument.max_quantity + 1),
                *(most, most + 1, most // 10, SUPPLY_LIMIT // instrument.lot_units, 2**63 - 1, 2**63),
            )
        )

    def _write(self, count: int, step: Fraction) -> str:
        """A decimal, sometimes with trailing zeros."""
        text = plain_decimal.write(count, step)
        if not self._chance(20):
            return text
        return text + ("0" if "." in text else ".00")

    # Chance

    def _chance(self, percent: int) -> bool:
        return self.random.randrange(100) < percent

    def _pick(self, *choices: tuple[int, Choice]) -> Choice:
        """A random choice of (weight, choice) pairs."""
        at = self.random.randrange(sum(weight for weight, _ in choices))
        for weight, choice in choices:
            if at < weight:
                return choice
            at -= weight
        raise AssertionError("the weights sum to more than they sum to")

    def _spoil(self, command: Json) -> Json:
        """The command with one field changed, removed or added; by chance it may still be valid."""
        names = [name for name in command if name != "command"]
        way = self._pick((60, "replace"), (20, "drop"), (15, "add"), (5, "rename"))
        if way == "replace":
            return {**command, self.random.choice(names): self.random.choice(WRONG_VALUES)}
        if way == "drop":
            dropped = self.random.choice(names)
            return {name: value for name, value in command.items() if name != dropped}
        if way == "add":
            return {**command, self.random.choice(FIELDS): self.random.choice(WRONG_VALUES)}
        return {**command, "command": self.random.choice((*WRONG_VALUES, "cancel", "deposit", "replace", "order"))}
