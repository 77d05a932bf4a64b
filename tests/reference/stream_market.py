"""What the makers of random commands share: chance, the exchange as it is, and values of fields."""

from fractions import Fraction
from random import Random
from typing import TypeVar

from tests.reference import plain_decimal
from tests.reference.commands import Asset, Instrument
from tests.reference.engine import ReferenceExchange
from tests.reference.ledger import SUPPLY_LIMIT
from tests.reference.limits import Limits
from tests.reference.orders import Order
from tests.reference.state import Market
from tests.reference.stream_templates import TEMPLATES, Template

Choice = TypeVar("Choice")

FAR_ACCOUNT = 2**40 + 5
HIGHEST_ACCOUNT = 2**63 - 1


class StreamMarket:
    def __init__(self, random: Random, *, instruments: int, accounts: int, first_template: int, limits: Limits) -> None:
        self.random = random
        self.exchange = ReferenceExchange(limits)
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
        self.depth = 300 * len(self.templates)  # open orders before most new orders trade

    # Chance

    def chance(self, percent: int) -> bool:
        return self.random.randrange(100) < percent

    def pick(self, *choices: tuple[int, Choice]) -> Choice:
        """A random choice of (weight, choice) pairs."""
        at = self.random.randrange(sum(weight for weight, _ in choices))
        for weight, choice in choices:
            if at < weight:
                return choice
            at -= weight
        raise AssertionError("the weights sum to more than they sum to")

    # The exchange as it is

    def instrument(self) -> Instrument:
        return self.exchange.edge.instruments[self.random.choice(list(self.templates))]

    def market(self, instrument: Instrument) -> Market:
        return self.exchange.state.markets[instrument.symbol]

    def asset(self) -> Asset:
        return self.exchange.edge.assets[self.random.choice(self.assets)]

    def account(self) -> int:
        return HIGHEST_ACCOUNT if self.chance(1) else self.random.choice(self.accounts)

    def available(self, account: int, asset: Asset) -> int:
        return self.exchange.state.funds.available(account, asset.symbol)

    def open_order(self) -> Order | None:
        order = self.random.choice(list(self.exchange.open.values())) if self.exchange.open else None
        # An altered definition may be valid by chance, and an altered order may rest in the new instrument.
        return order if order is not None and order.instrument.symbol in self.templates else None

    # Values

    def price(self, instrument: Instrument, side: str) -> int:
        """A price around a moving mid price; small distances are more likely than large ones."""
        middle = self.middle(instrument)
        passive = self.distance(instrument) if side == "sell" else -self.distance(instrument)
        crosses = self.chance(12 if len(self.exchange.open) < self.depth else 30)
        usual = middle + (-passive if crosses else passive)
        return self.pick((985, usual), (4, 0), (4, -usual), (4, usual * 10**6), (3, 2**63 - 1))

    def middle(self, instrument: Instrument) -> int:
        """The mid price in ticks, after it may have moved."""
        template = self.templates[instrument.symbol]
        middle = self.middles[instrument.symbol] + (self.random.choice((-1, 1)) if self.chance(2) else 0)
        self.middles[instrument.symbol] = max(template.spread_ticks + 1, middle)
        return self.middles[instrument.symbol]

    def distance(self, instrument: Instrument) -> int:
        """Ticks from the mid price, 0 to the template's spread."""
        template = self.templates[instrument.symbol]
        return self.random.randrange(1 + self.random.randrange(template.spread_ticks))

    def lots(self, instrument: Instrument, price: int) -> int:
        if self.chance(95):
            size = self.templates[instrument.symbol].usual_lots
            return instrument.min_quantity + self.random.randrange(1 + self.random.randrange(size))
        most = SUPPLY_LIMIT // max(1, price * instrument.quote_unit)
        return self.random.choice(
            (
                *(0, -1, instrument.min_quantity - 1, instrument.max_quantity, instrument.max_quantity + 1),
                *(most, most + 1, most // 10, SUPPLY_LIMIT // instrument.lot_units, 2**63 - 1, 2**63),
            )
        )

    def write(self, count: int, step: Fraction) -> str:
        """A decimal, sometimes with trailing zeros."""
        text = plain_decimal.write(count, step)
        if not self.chance(20):
            return text
        return text + ("0" if "." in text else ".00")
