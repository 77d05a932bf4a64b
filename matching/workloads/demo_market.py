"""A market that looks alive: a fair price that walks, makers who quote ladders around it, takers who trade.

`Market` is a pure seeded function of what it saw: the same seed, tag and events give the same commands. It knows no
clock, no socket and no engine. Prices and quantities are ticks and lots of the instrument; random draws never reach
the engine but as whole numbers of these.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from matching.core.registry import Instrument
from matching.workloads.demo_venue import LISTINGS, MAKERS, QUOTE, TAKERS, Command, deposit

LEVELS = 5  # quotes of one maker on one side of one book
MOST_RESTING = 3  # orders that a taker leaves in the books
_TAKING = 0.17  # of all commands
_FUNDING = 0.002
_STEP = 0.25e-4  # standard deviation of the fair price from one command on a book to the next, relative
_MOMENTUM = 0.97
_PULL = 2e-5  # towards the price that it started at
_IMPACT = 0.5e-4  # what a taker's trade of typical size does to the fair price
_FARTHEST = 4.0  # times the start price, or a part of it
_SIDES = ("buy", "sell")


@dataclass(eq=False, slots=True)
class Quote:
    """A maker's order at one level of a ladder, or one that a taker left; pending until its command is answered."""

    account: int
    book: "Book"
    side: str
    level: int
    name: str  # client order id
    price: int
    quantity: int
    order_id: int = 0
    pending: bool = True


@dataclass(eq=False, slots=True)
class Book:
    """An instrument and what its traders hold to be its price in ticks, and where that is going."""

    instrument: Instrument
    start: float
    fair: float
    drift: float = 0.0
    quotes: dict[tuple[int, str, int], Quote] = field(default_factory=dict)  # by account, side, level

    @property
    def dollars(self) -> float:
        """What a lot costs at a price of one tick."""
        return float(self.instrument.tick.decimal(1) * self.instrument.lot.decimal(1))


def book_of(instrument: Instrument, depth: Mapping[str, Sequence[Sequence[int]]]) -> Book:
    """The book of a listed instrument, priced as its best bid and ask say, or else as it is listed."""
    listing = next(listing for listing in LISTINGS if listing.symbol == instrument.symbol)
    start = max(1.0, listing.start_price / float(instrument.tick.decimal(1)))
    bids, asks = depth.get("bids"), depth.get("asks")
    fair = (bids[0][0] + asks[0][0]) / 2 if bids and asks else start
    return Book(instrument, start, fair if start / _FARTHEST < fair < start * _FARTHEST else start)


class Market:
    """`tag` is a part of every name and reference: two runs with different tags never give the same one."""

    def __init__(self, seed: int, tag: str, books: Sequence[Book]) -> None:
        self.books = {book.instrument.symbol: book for book in books}
        self._tag = tag
        self._names = 0
        self._rng = np.random.default_rng([seed, *tag.encode()])
        self._by_name: dict[str, Quote] = {}
        self._by_order: dict[int, Quote] = {}
        self._owed: dict[tuple[int, str], bool] = {}  # (account, asset) that ran out → whether a deposit is under way

    def next(self) -> Command:
        """One command; `saw` must be told what came of it, sooner or later."""
        for (account, asset), paid in self._owed.items():
            if not paid:
                self._owed[account, asset] = True
                return deposit(account, asset, self._name("demo"))
        if self._chance(_FUNDING):
            return self._fund()
        book = list(self.books.values())[self._below(len(self.books))]
        self._walk(book)
        return self._take(book) if self._chance(_TAKING) else self._make(book)

    def saw(self, command: Command, events: Iterable[Mapping[str, Any]]) -> None:
        """What a command caused, in the JSON Lines form."""
        quote = self._by_name.get(str(command.get("client_order_id")))
        if quote is not None:
            quote.pending = False
        if command["command"] == "deposit":
            self._owed.pop((command["account"], command["asset"]), None)
        for event in events:
            self._note(event, command, quote)

    def _fund(self) -> Command:
        """A taker brings or takes some money."""
        return {
            "command": "deposit" if self._chance(0.7) else "withdraw",
            "account": TAKERS[self._below(len(TAKERS))],
            "asset": QUOTE,
            "amount": str(50 * (1 + self._below(100))),
            "reference": self._name("demo"),
        }

    # Makers

    def _make(self, book: Book) -> Command:
        account = MAKERS[self._below(len(MAKERS))]
        if self._chance(0.002):
            return {"command": "cancel_all", "account": account, "symbol": book.instrument.symbol}
        side, level = _SIDES[self._below(2)], self._below(LEVELS)
        price, quantity = self._target(book, account, side, level), self._lots(book, 6_000.0 * (1 + level), 0.5)
        quote = book.quotes.get((account, side, level))
        if quote is None:
            quote = self._quote(account, book, side, level, price, quantity)
            return _order(quote, self_trade_prevention="expire_maker")
        if quote.pending or not quote.order_id:
            return self._take(book)
        quote.pending = True
        if self._chance(0.15):
            return _named(quote, "cancel")
        near = abs(price - quote.price) < book.fair * 1e-4
        if near and quote.quantity > 1:
            # Less at the same price keeps the place in the queue.
            return _named(quote, "replace", price=quote.price, quantity=max(1, quote.quantity - quantity // 8))
        return _named(quote, "replace", price=price, quantity=quantity)

    def _target(self, book: Book, account: int, side: str, level: int) -> int:
        """Each maker keeps a distance of their own, wider with every level: 1.5 to 4 basis points and 1.5 a level."""
        distance = (1.5 + 0.5 * (account - MAKERS[0]) + (1.5 + 0.2 * self._rng.random()) * level) * 1e-4
        return max(1, round(book.fair * (1 - distance if side == "buy" else 1 + distance)))

    # Takers

    def _take(self, book: Book) -> Command:
        account, side = TAKERS[self._below(len(TAKERS))], "buy" if self._chance(0.5 + _lean(book)) else "sell"
        lots, style = self._lots(book, 1_500.0, 1.2), self._rng.random()
        resting = [quote for quote in book.quotes.values() if quote.account == account and not quote.pending]
        if len(resting) >= MOST_RESTING or (resting and style < 0.05):
            resting[0].pending = True
            return _named(resting[0], "cancel")
        fields = {"command": "order", "account": account, "symbol": book.instrument.symbol, "side": side}
        if style < 0.40:
            return fields | {"order_type": "market"} | self._market_size(book, side, lots)
        reach = book.fair * (1 + (1 if side == "buy" else -1) * 6e-4 * self._rng.random())
        price = max(1, round(reach))
        if style < 0.85:
            quote = Quote(account, book, side, 0, "", price, lots)
            return _order(quote, time_in_force="fok" if style < 0.45 else "ioc")
        level = LEVELS + self._names
        away = price if style < 0.95 else self._target(book, MAKERS[0], side, 0)
        return _order(self._quote(account, book, side, level, away, lots))

    def _market_size(self, book: Book, side: str, lots: int) -> Command:
        if side == "buy" and self._chance(0.4):
            cents = round(lots * book.fair * book.dollars * 100)
            return {"quote_quantity": f"{cents // 100}.{cents % 100:02}" if cents >= 100 else "1"}
        return {"quantity": book.instrument.lot.text(lots)}

    # Both

    def _quote(self, account: int, book: Book, side: str, level: int, price: int, quantity: int) -> Quote:
        quote = Quote(account, book, side, level, self._name("q"), price, quantity)
        book.quotes[account, side, level] = self._by_name[quote.name] = quote
        return quote

    def _drop(self, quote: Quote) -> None:
        self._by_name.pop(quote.name, None)
        self._by_order.pop(quote.order_id, None)
        quote.book.quotes.pop((quote.account, quote.side, quote.level), None)

    def _note(self, event: Mapping[str, Any], command: Command, quote: Quote | None) -> None:
        kind = event["event"]
        if kind == "order_accepted" and quote is not None:
            quote.order_id = event["order_id"]
            self._by_order[quote.order_id] = quote
        elif kind == "trade":
            self._traded(event)
        elif kind == "order_replaced" and quote is not None:
            quote.price = quote.book.instrument.tick.count(event["price"])
            quote.quantity = quote.book.instrument.lot.count(event["quantity"])
        elif kind == "order_cancelled" and event["order_id"] in self._by_order:
            self._drop(self._by_order[event["order_id"]])
        elif kind == "rejected":
            self._refused(event["reason"], command, quote)

    def _traded(self, event: Mapping[str, Any]) -> None:
        book = self.books[event["symbol"]]
        lots = book.instrument.lot.count(event["quantity"])
        for order_id in (event["maker_order_id"], event["taker_order_id"]):
            quote = self._by_order.get(order_id)
            if quote is not None:
                quote.quantity -= lots
                if quote.quantity <= 0:
                    self._drop(quote)
        size = min(4.0, lots * book.fair * book.dollars / 1_500.0)
        book.fair *= 1 + (_IMPACT if event["taker_side"] == "buy" else -_IMPACT) * size * 0.5

    def _refused(self, reason: str, command: Command, quote: Quote | None) -> None:
        if quote is not None and (command["command"] == "order" or reason == "unknown_order"):
            self._drop(quote)
        if reason == "insufficient_balance" and command["command"] in ("order", "replace"):
            instrument = self.books[command["symbol"]].instrument
            side = quote.side if quote is not None else command["side"]
            asset = instrument.quote if side == "buy" else instrument.base
            self._owed.setdefault((command["account"], asset.symbol), False)

    def _walk(self, book: Book) -> None:
        book.drift = _MOMENTUM * book.drift + 0.02 * _STEP * float(self._rng.standard_normal())
        step = book.drift + _STEP * float(self._rng.standard_normal()) + _PULL * (book.start / book.fair - 1)
        book.fair = min(max(book.fair * (1 + step), book.start / _FARTHEST, 1.0), book.start * _FARTHEST)

    def _lots(self, book: Book, dollars: float, spread: float) -> int:
        """Around `dollars` worth, within what the instrument allows."""
        worth = dollars * float(np.exp(spread * self._rng.standard_normal()))
        lots = round(worth / (book.fair * book.dollars))
        return min(max(lots, book.instrument.min_quantity), book.instrument.max_quantity)

    def _chance(self, share: float) -> bool:
        return bool(self._rng.random() < share)

    def _below(self, bound: int) -> int:
        return int(self._rng.integers(bound))

    def _name(self, kind: str) -> str:
        self._names += 1
        return f"{kind}-{self._tag}-{self._names}"


def _lean(book: Book) -> float:
    """Takers follow the drift a little."""
    return min(0.2, max(-0.2, book.drift / _STEP))


def _order(quote: Quote, **fields: Any) -> Command:
    instrument = quote.book.instrument
    command = {
        "command": "order",
        "account": quote.account,
        "symbol": instrument.symbol,
        "side": quote.side,
        "order_type": "limit",
        "price": instrument.tick.text(quote.price),
        "quantity": instrument.lot.text(quote.quantity),
        **fields,
    }
    return command | {"client_order_id": quote.name} if quote.name else command


def _named(quote: Quote, command: str, *, price: int = 0, quantity: int = 0) -> Command:
    instrument = quote.book.instrument
    fields = {
        "command": command,
        "account": quote.account,
        "symbol": instrument.symbol,
        "client_order_id": quote.name,
    }
    if command == "replace":
        fields |= {"price": instrument.tick.text(price), "quantity": instrument.lot.text(quantity)}
    return fields
