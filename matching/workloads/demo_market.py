"""The demo market: a fair price that follows a random walk, market makers who quote around it, takers who trade.

`Market` is deterministic: the same seed, tag and events give the same commands. It uses no clock, socket or engine.
Prices and quantities are ticks and lots of the instrument; random numbers are rounded to these before they enter a
command.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from matching.core.registry import Instrument
from matching.workloads.demo_venue import LISTINGS, MAKERS, QUOTE, TAKERS, Command, deposit

LEVELS = 5  # quotes of a maker on each side of a book
MAX_RESTING = 3  # resting orders of a taker
_TAKER_SHARE = 0.17  # of all commands
_FUNDING_SHARE = 0.002  # of all commands
_STEP = 0.25e-4  # relative standard deviation of the fair price for each command on the book
_MOMENTUM = 0.97  # share of the drift that remains after each command
_MEAN_REVERSION = 2e-5  # towards the start price
_IMPACT = 0.5e-4  # relative change of the fair price by a taker's trade of typical size
_MAX_RATIO = 4.0  # the fair price stays between start / 4 and start × 4
_ICEBERG_SHARE = 0.1  # of a maker's new orders
_PIECES = 5  # of an iceberg
_PLACING = ("order", "oco")
_SIDES = ("buy", "sell")


@dataclass(eq=False, slots=True)
class Quote:
    """A maker's order at one level, or a resting order of a taker. `pending` until its last command is answered."""

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
    """An instrument with its start price, its fair price in ticks and its drift (relative change for each command)."""

    instrument: Instrument
    start: float
    fair: float
    drift: float = 0.0
    quotes: dict[tuple[int, str, int], Quote] = field(default_factory=dict)  # by account, side, level

    @property
    def lot_tick_dollars(self) -> float:
        """Price of one lot at a price of one tick, in dollars."""
        return float(self.instrument.tick.decimal(1) * self.instrument.lot.decimal(1))


def book_of(instrument: Instrument, depth: Mapping[str, Sequence[Sequence[int]]]) -> Book:
    """The book of a listed instrument. The fair price is the mid price of `depth`, or else the listed start price."""
    listing = next(listing for listing in LISTINGS if listing.symbol == instrument.symbol)
    start = max(1.0, listing.start_price / float(instrument.tick.decimal(1)))
    bids, asks = depth.get("bids"), depth.get("asks")
    fair = (bids[0][0] + asks[0][0]) / 2 if bids and asks else start
    return Book(instrument, start, fair if start / _MAX_RATIO < fair < start * _MAX_RATIO else start)


class Market:
    """`tag` is part of every client order id and reference, so that runs with different tags never use the same one."""

    def __init__(self, seed: int, tag: str, books: Sequence[Book]) -> None:
        self.books = {book.instrument.symbol: book for book in books}
        self._tag = tag
        self._names = 0
        self._rng = np.random.default_rng([seed, *tag.encode()])
        self._by_name: dict[str, Quote] = {}
        self._by_order: dict[int, Quote] = {}
        self._unfunded: dict[tuple[int, str], bool] = {}  # (account, asset) without funds → whether a deposit was sent

    def next(self) -> Command:
        """The next command. Its events must be given to `observe` later."""
        for (account, asset), is_deposited in self._unfunded.items():
            if not is_deposited:
                self._unfunded[account, asset] = True
                return deposit(account, asset, self._new_name("demo"))
        if self._chance(_FUNDING_SHARE):
            return self._funding_command()
        book = list(self.books.values())[self._below(len(self.books))]
        self._move_fair_price(book)
        return self._taker_command(book) if self._chance(_TAKER_SHARE) else self._maker_command(book)

    def observe(self, command: Command, events: Iterable[Mapping[str, Any]]) -> None:
        """Takes the events of a command, in the JSON Lines form."""
        quote = self._by_name.get(str(command.get("client_order_id")))
        if quote is not None:
            quote.pending = False
        if command["command"] == "deposit":
            self._unfunded.pop((command["account"], command["asset"]), None)
        for event in events:
            self._note(event, command, quote)

    def _funding_command(self) -> Command:
        """A deposit or withdrawal of a taker."""
        return {
            "command": "deposit" if self._chance(0.7) else "withdraw",
            "account": TAKERS[self._below(len(TAKERS))],
            "asset": QUOTE,
            "amount": str(50 * (1 + self._below(100))),
            "reference": self._new_name("demo"),
        }

    # Makers

    def _maker_command(self, book: Book) -> Command:
        account = MAKERS[self._below(len(MAKERS))]
        if self._chance(0.002):
            return {"command": "cancel_all", "account": account, "symbol": book.instrument.symbol}
        side, level = _SIDES[self._below(2)], self._below(LEVELS)
        price, quantity = self._target(book, account, side, level), self._lots(book, 6_000.0 * (1 + level), 0.5)
        quote = book.quotes.get((account, side, level))
        if quote is None:
            quote = self._add_quote(account, book, side, level, price, quantity)
            return _new_order(quote, self_trade_prevention="expire_maker", **self._iceberg(book, quantity))
        if quote.pending or not quote.order_id:
            return self._taker_command(book)
        quote.pending = True
        if self._chance(0.15):
            return _command_on(quote, "cancel")
        is_near = abs(price - quote.price) < book.fair * 1e-4
        if is_near and quote.quantity > 1:
            # A smaller quantity at the same price keeps time priority.
            return _command_on(quote, "replace", price=quote.price, quantity=max(1, quote.quantity - quantity // 8))
        return _command_on(quote, "replace", price=price, quantity=quantity)

    def _iceberg(self, book: Book, quantity: int) -> Command:
        """Makers hide most of some large orders."""
        visible = quantity // _PIECES
        if visible < book.instrument.min_quantity or not self._chance(_ICEBERG_SHARE):
            return {}
        return {"visible_quantity": book.instrument.lot.text(visible)}

    def _target(self, book: Book, account: int, side: str, level: int) -> int:
        """A maker's price: each maker has its own distance of 1.5 to 4 basis points, plus 1.5 for each level."""
        distance = (1.5 + 0.5 * (account - MAKERS[0]) + (1.5 + 0.2 * self._rng.random()) * level) * 1e-4
        return max(1, round(book.fair * (1 - distance if side == "buy" else 1 + distance)))

    # Takers

    def _taker_command(self, book: Book) -> Command:
        account, side = TAKERS[self._below(len(TAKERS))], "buy" if self._chance(0.5 + _side_bias(book)) else "sell"
        lots, style = self._lots(book, 1_500.0, 1.2), self._rng.random()
        resting = [quote for quote in book.quotes.values() if quote.account == account and not quote.pending]
        if len(resting) >= MAX_RESTING or (resting and style < 0.05):
            resting[0].pending = True
            return _command_on(resting[0], "cancel")
        fields = {"command": "order", "account": account, "symbol": book.instrument.symbol, "side": side}
        if style < 0.40:
            return fields | {"order_type": "market"} | self._market_size(book, side, lots)
        limit = book.fair * (1 + (1 if side == "buy" else -1) * 6e-4 * self._rng.random())
        price = max(1, round(limit))
        if style < 0.85:
            quote = Quote(account, book, side, 0, "", price, lots)
            return _new_order(quote, time_in_force="fok" if style < 0.45 else "ioc")
        level = LEVELS + self._names
        if style < 0.94:
            resting_price = price if style < 0.92 else self._target(book, MAKERS[0], side, 0)
            return _new_order(self._add_quote(account, book, side, level, resting_price, lots))
        if style < 0.97:
            return self._trigger_order(self._add_quote(account, book, side, level, price, lots))
        return self._oco(self._add_quote(account, book, side, level, self._beyond(book, side), lots))

    def _trigger_order(self, quote: Quote) -> Command:
        """An order that waits for the price to rise (buy) or to fall (sell): with or without a price."""
        trigger = {"trigger_price": self._trigger_price(quote.book, quote.side)}
        if self._chance(0.5):
            return _new_order(quote, order_type="stop_loss_limit", **trigger)
        stop = _new_order(quote, order_type="stop_loss", **trigger)
        del stop["price"]
        return stop

    def _oco(self, quote: Quote) -> Command:
        """A limit order away from the fair price, and a stop order on the other side of it."""
        oco = _new_order(quote, command="oco", trigger_price=self._trigger_price(quote.book, quote.side))
        del oco["order_type"]
        return oco

    def _trigger_price(self, book: Book, side: str) -> str:
        return book.instrument.tick.text(self._beyond(book, _opposite(side)))

    def _beyond(self, book: Book, side: str) -> int:
        """A price below (buy) or above (sell) the fair price by 10 to 40 basis points."""
        distance = (10 + 30 * self._rng.random()) * 1e-4
        return max(1, round(book.fair * (1 - distance if side == "buy" else 1 + distance)))

    def _market_size(self, book: Book, side: str, lots: int) -> Command:
        if self._chance(0.4 if side == "buy" else 0.1):
            cents = round(lots * book.fair * book.lot_tick_dollars * 100)
            return {"quote_quantity": f"{cents // 100}.{cents % 100:02}" if cents >= 100 else "1"}
        return {"quantity": book.instrument.lot.text(lots)}

    # Makers and takers

    def _add_quote(self, account: int, book: Book, side: str, level: int, price: int, quantity: int) -> Quote:
        quote = Quote(account, book, side, level, self._new_name("q"), price, quantity)
        book.quotes[account, side, level] = self._by_name[quote.name] = quote
        return quote

    def _remove_quote(self, quote: Quote) -> None:
        self._by_name.pop(quote.name, None)
        self._by_order.pop(quote.order_id, None)
        quote.book.quotes.pop((quote.account, quote.side, quote.level), None)

    def _note(self, event: Mapping[str, Any], command: Command, quote: Quote | None) -> None:
        kind = event["event"]
        if kind == "order_accepted" and quote is not None and event["client_order_id"] == quote.name:
            quote.order_id = event["order_id"]
            self._by_order[quote.order_id] = quote
        elif kind == "trade":
            self._note_trade(event)
        elif kind == "order_replaced" and quote is not None:
            quote.price = quote.book.instrument.tick.count(event["price"])
            quote.quantity = quote.book.instrument.lot.count(event["quantity"])
        elif kind == "order_cancelled" and event["order_id"] in self._by_order:
            self._remove_quote(self._by_order[event["order_id"]])
        elif kind == "rejected":
            self._note_reject(event["reason"], command, quote)

    def _note_trade(self, event: Mapping[str, Any]) -> None:
        book = self.books[event["symbol"]]
        lots = book.instrument.lot.count(event["quantity"])
        for order_id in (event["maker_order_id"], event["taker_order_id"]):
            quote = self._by_order.get(order_id)
            if quote is not None:
                quote.quantity -= lots
                if quote.quantity <= 0:
                    self._remove_quote(quote)
        size = min(4.0, lots * book.fair * book.lot_tick_dollars / 1_500.0)
        book.fair *= 1 + (_IMPACT if event["taker_side"] == "buy" else -_IMPACT) * size * 0.5

    def _note_reject(self, reason: str, command: Command, quote: Quote | None) -> None:
        if quote is not None and (command["command"] in _PLACING or reason == "unknown_order"):
            self._remove_quote(quote)
        if reason == "insufficient_balance" and command["command"] in (*_PLACING, "replace"):
            instrument = self.books[command["symbol"]].instrument
            side = quote.side if quote is not None else command["side"]
            asset = instrument.quote if side == "buy" else instrument.base
            self._unfunded.setdefault((command["account"], asset.symbol), False)

    def _move_fair_price(self, book: Book) -> None:
        book.drift = _MOMENTUM * book.drift + 0.02 * _STEP * float(self._rng.standard_normal())
        step = book.drift + _STEP * float(self._rng.standard_normal()) + _MEAN_REVERSION * (book.start / book.fair - 1)
        book.fair = min(max(book.fair * (1 + step), book.start / _MAX_RATIO, 1.0), book.start * _MAX_RATIO)

    def _lots(self, book: Book, dollars: float, spread: float) -> int:
        """A random quantity around `dollars` worth, within the limits of the instrument."""
        worth = dollars * float(np.exp(spread * self._rng.standard_normal()))
        lots = round(worth / (book.fair * book.lot_tick_dollars))
        return min(max(lots, book.instrument.min_quantity), book.instrument.max_quantity)

    def _chance(self, share: float) -> bool:
        return bool(self._rng.random() < share)

    def _below(self, bound: int) -> int:
        return int(self._rng.integers(bound))

    def _new_name(self, kind: str) -> str:
        self._names += 1
        return f"{kind}-{self._tag}-{self._names}"


def _opposite(side: str) -> str:
    return "sell" if side == "buy" else "buy"


def _side_bias(book: Book) -> float:
    """Bias of takers towards the side of the drift."""
    return min(0.2, max(-0.2, book.drift / _STEP))


def _new_order(quote: Quote, **fields: Any) -> Command:
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


def _command_on(quote: Quote, command: str, *, price: int = 0, quantity: int = 0) -> Command:
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
