"""The state of the exchange, and the events of the command at work."""

from dataclasses import dataclass, field

from tests.reference.accounts import Accounts
from tests.reference.book import Book
from tests.reference.commands import Instrument
from tests.reference.forms import Event
from tests.reference.ledger import Ledger
from tests.reference.limits import Limits
from tests.reference.orders import Order
from tests.reference.waiting import Waiting

PPM = 1_000_000


@dataclass(eq=False)
class Market:
    """What changes in one instrument. Prices in ticks; `price_before`: the last trade price before the command."""

    instrument: Instrument
    status: str = "trading"
    book: Book = field(default_factory=Book)
    waiting: Waiting = field(default_factory=Waiting)
    last_price: int | None = None
    price_before: int | None = None
    trade_count: int = 0

    @property
    def band(self) -> tuple[int, int] | None:
        """(lowest, highest) price in ticks, at least one tick around the price before the command; None: no band."""
        width, price = self.instrument.price_band, self.price_before
        if width == 0 or price is None:
            return None
        lowest = -(-price * (PPM - width) // PPM)
        highest = price * (PPM + width) // PPM
        return min(lowest, price - 1), max(highest, price + 1)

    def is_outside_band(self, price: int) -> bool:
        return self.band is not None and not self.band[0] <= price <= self.band[1]


class Journal:
    """Numbers commands and events, and collects the events of the command at work."""

    def __init__(self) -> None:
        self.command_count = 0
        self.event_count = 0
        self.events: list[Event] = []

    def begin_command(self) -> None:
        self.events = []
        self.command_count += 1

    def begin_second_leg(self) -> None:
        """An oco takes two command sequences, but is one command."""
        self.command_count += 1

    def emit(self, event: str, **fields: object) -> int:
        """The event's sequence."""
        self.event_count += 1
        heading = {"event": event, "sequence": self.event_count, "command_sequence": self.command_count}
        self.events.append({**heading, **fields})
        return self.event_count


class State:
    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.journal = Journal()
        self.markets: dict[str, Market] = {}  # by symbol
        self.open: dict[int, Order] = {}  # by order_id: orders in the books and waiting ones
        self.named: dict[tuple[int, str, str], Order] = {}  # open orders by account, symbol, client_order_id
        self.queue: list[Order] = []  # triggered, not yet at work; may hold orders that are not open any more
        self.accounts = Accounts()
        self.funds = Ledger()
        self.references: set[tuple[str, int, str]] = set()  # `deposit` or `withdraw`, account, reference
        self.trade_count = 0

    def market(self, order: Order) -> Market:
        return self.markets[order.instrument.symbol]

    def namesake(self, account: int, symbol: str, client_order_id: str | None) -> Order | None:
        """The open order of that name."""
        return None if client_order_id is None else self.named.get((account, symbol, client_order_id))

    def open_count(self, account: int, symbol: str) -> int:
        """Open orders of an account in an instrument, waiting ones too."""
        return sum(1 for order in self.open.values() if (order.account, order.instrument.symbol) == (account, symbol))
