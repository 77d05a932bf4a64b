"""Converts NASDAQ messages in LOBSTER form (lobsterdata.com) to commands (docs/semantics.md, section 7).

A message is a line `seconds,message_type,order_id,quantity,price,direction`: quantity in shares, price in 1/10000
dollar, direction 1 for a buy order and -1 for a sell order; for an execution, that of the resting order. The first line
may be a header.

    1 new limit order      → order, with the recorded id as client_order_id
    2 partly cancelled     → replace with the smaller open quantity
    3 deleted              → cancel
    4 executed             → if the order is first in the book's priority: an IOC order on the other side, for the
                             executed quantity at that price, with the id of the executed order as client_order_id;
                             if it is not: a replace or cancel that removes the quantity, counted as out of turn
    5 hidden order executed, 6 auction, 7 trading halt, messages about orders from before the file, and a new order that
      would trade at once    → skipped and counted

After each command the engine's book holds the same quantities of these orders as NASDAQ's book.
"""

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NamedTuple

from matching.core.decimals import plain
from matching.core.errors import BadFile

Command = dict[str, Any]

QUOTE = "USD"
QUOTE_DECIMALS = 6
PRICE_SCALE = 4  # 1/10000 dollar is the tick, so that every recorded price fits exactly

MAKERS = 16
FIRST_MAKER = 10_000
FIRST_TAKER = 20_000
DEPOSITED_DOLLARS = "10000000000"
DEPOSITED_SHARES = "1000000000"
MAX_SHARES = 1_000_000_000

NEW, REDUCED, DELETED, EXECUTED, HIDDEN, AUCTION, HALT = range(1, 8)
_SKIPPED = {HIDDEN: "hidden_order", AUCTION: "auction", HALT: "trading_halt"}
_SIDES = {1: "buy", -1: "sell"}
_OTHER_SIDE = {"buy": "sell", "sell": "buy"}
_COLUMNS = 6
_MAX_LINE_CHARACTERS = 200
_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)
_WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_STOCK = re.compile(r"(?:nasdaq_)?([a-z][a-z.]{0,15})_", re.IGNORECASE | re.ASCII)


class Message(NamedTuple):
    """Quantity in shares, price in 1/10000 dollar, direction 1 or -1."""

    line: int
    type: int
    order_id: int
    quantity: int
    price: int
    direction: int


@dataclass
class Counts:
    """Counts of messages read, commands made of them (without the prelude), and messages skipped, by reason.

    `out_of_turn`: executions of an order that was not first in priority, converted to a replace or a cancel.
    """

    messages: int = 0
    commands: int = 0
    out_of_turn: int = 0
    skipped: Counter[str] = field(default_factory=Counter)

    def summary(self) -> Command:
        return {
            "messages": self.messages,
            "commands": self.commands,
            "out_of_turn": self.out_of_turn,
            "skipped": dict(sorted(self.skipped.items())),
        }


@dataclass
class _Open:
    """An open order of the exchange: the account that we gave it, side, price, and open shares."""

    account: int
    side: str
    price: int
    quantity: int


class _Book:
    """The open orders by id, and by side and price in time priority."""

    def __init__(self) -> None:
        self.orders: dict[int, _Open] = {}
        self._queues: dict[str, dict[int, dict[int, None]]] = {side: {} for side in _OTHER_SIDE}

    def place(self, order_id: int, order: _Open) -> None:
        self.orders[order_id] = order
        self._queues[order.side].setdefault(order.price, {})[order_id] = None

    def remove(self, order_id: int) -> None:
        order = self.orders.pop(order_id)
        prices = self._queues[order.side]
        del prices[order.price][order_id]
        if not prices[order.price]:
            del prices[order.price]

    def is_first(self, order_id: int) -> bool:
        order = self.orders[order_id]
        return order.price == self._best(order.side) and order_id == next(iter(self._queues[order.side][order.price]))

    def trades_at_once(self, side: str, price: int) -> bool:
        best = self._best(_OTHER_SIDE[side])
        return best is not None and (price >= best if side == "buy" else price <= best)

    def _best(self, side: str) -> int | None:
        prices = self._queues[side]
        return (max if side == "buy" else min)(prices, default=None)


@contextmanager
def opened(file: Path) -> Iterator[Iterator[str]]:
    """The lines of a .csv or .csv.gz file. Raises BadFile, also while the lines are read."""
    with ExitStack() as stack:
        try:
            stored = stack.enter_context(file.open("rb"))
        except (OSError, ValueError) as error:  # ValueError: a name with a NUL in it
            raise BadFile(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
        content = gzip.GzipFile(fileobj=stored) if file.suffix == ".gz" else stored
        yield _lines(file, TextIOWrapper(content, encoding="ascii", errors="replace"))


def _lines(file: Path, text: TextIOWrapper) -> Iterator[str]:
    """A line that is longer than any message is split; its parts are invalid messages too."""
    try:
        while line := text.readline(_MAX_LINE_CHARACTERS):
            yield line
    except gzip.BadGzipFile as error:
        raise BadFile(f"{file} is not a gzip file, or it is damaged.") from error
    except (EOFError, zlib.error) as error:
        raise BadFile(f"{file} is damaged: its compressed data is truncated or invalid.") from error
    except OSError as error:
        raise BadFile(f"{file} cannot be read: {error.strerror}.") from error


def stock_named(file: Path) -> str:
    """The stock's symbol from a file name such as AAPL_2012-06-21_…csv; STOCK if the name has none."""
    found = _STOCK.match(file.name)
    return found[1].upper() if found else "STOCK"


def read(lines: Iterable[str]) -> Iterator[Message]:
    """Parses lines to messages, without blank lines and a header. Raises BadFile with the line number."""
    for number, line in enumerate(lines, 1):
        fields = line.strip().split(",")
        if fields == [""] or (number == 1 and _is_header(fields)):
            continue
        yield _message(number, fields)


def convert(messages: Iterable[Message], stock: str, counts: Counts) -> Iterator[Command]:
    """Yields the prelude and the messages' commands; nothing if there is no message. Updates the new `counts`."""
    symbol = f"{stock}-{QUOTE}"
    book = _Book()
    for message in messages:
        if not counts.messages:
            yield from prelude(stock)
        counts.messages += 1
        command = _command(message, symbol, book, counts)
        if isinstance(command, str):
            counts.skipped[command] += 1
        else:
            counts.commands += 1
            yield command


def prelude(stock: str) -> Iterator[Command]:
    """Commands for the assets, the instrument, and funds of every account.

    Buyers, sellers, makers and takers are different accounts, so that no self-trade can happen.
    """
    yield {"command": "asset", "symbol": QUOTE, "decimals": QUOTE_DECIMALS}
    yield {"command": "asset", "symbol": stock, "decimals": 0}
    yield {
        "command": "instrument",
        "symbol": f"{stock}-{QUOTE}",
        "base": stock,
        "quote": QUOTE,
        "tick_size": plain(1, PRICE_SCALE),
        "lot_size": "1",
        "min_quantity": "1",
        "max_quantity": str(MAX_SHARES),
        "min_notional": "0",
        "maker_fee": 0,
        "taker_fee": 0,
    }
    for side, asset, amount in (("buy", QUOTE, DEPOSITED_DOLLARS), ("sell", stock, DEPOSITED_SHARES)):
        for account in (*(maker(number, side) for number in range(MAKERS)), taker(side)):
            yield {
                "command": "deposit",
                "account": account,
                "asset": asset,
                "amount": amount,
                "reference": f"lobster-{stock}-{account}",
            }


def maker(order_id: int, side: str) -> int:
    """The account that places this order."""
    return FIRST_MAKER + order_id % MAKERS + (MAKERS if side == "sell" else 0)


def taker(side: str) -> int:
    """The account whose IOC orders on `side` execute the other side's resting orders."""
    return FIRST_TAKER + (1 if side == "sell" else 0)


def _command(message: Message, symbol: str, book: _Book, counts: Counts) -> Command | str:
    """The message as a command, or why it is skipped."""
    if message.type in _SKIPPED:
        return _SKIPPED[message.type]
    order = book.orders.get(message.order_id)
    if message.type == NEW:
        return "order_id_in_use" if order else _placed(message, symbol, book)
    if order is None:
        return "order_not_in_file"
    is_first = message.type == EXECUTED and book.is_first(message.order_id)
    quantity = order.quantity if message.type == DELETED else min(message.quantity, order.quantity)
    order.quantity -= quantity
    if not order.quantity:
        book.remove(message.order_id)
    if is_first:
        side = _OTHER_SIDE[order.side]
        taken = _Open(taker(side), side, order.price, quantity)
        return _order(message.order_id, taken, symbol) | {"time_in_force": "ioc"}
    counts.out_of_turn += message.type == EXECUTED
    named = {"account": order.account, "symbol": symbol, "client_order_id": str(message.order_id)}
    if not order.quantity:
        return {"command": "cancel", **named}
    return {"command": "replace", **named, "price": dollars(order.price), "quantity": str(order.quantity)}


def _placed(message: Message, symbol: str, book: _Book) -> Command | str:
    side = _SIDES[message.direction]
    if book.trades_at_once(side, message.price):
        return "would_trade_at_once"
    order = _Open(maker(message.order_id, side), side, message.price, message.quantity)
    book.place(message.order_id, order)
    return _order(message.order_id, order, symbol)


def _order(order_id: int, order: _Open, symbol: str) -> Command:
    return {
        "command": "order",
        "account": order.account,
        "symbol": symbol,
        "side": order.side,
        "order_type": "limit",
        "price": dollars(order.price),
        "quantity": str(order.quantity),
        "client_order_id": str(order_id),
    }


def dollars(price: int) -> str:
    return plain(price, PRICE_SCALE)


def _is_header(fields: list[str]) -> bool:
    return len(fields) == _COLUMNS and not any(name[:1].isdigit() or name[:1] == "-" for name in fields)


def _message(line: int, fields: list[str]) -> Message:
    if len(fields) != _COLUMNS:
        raise BadFile(f"Line {line} has {len(fields)} columns: a message in LOBSTER form has {_COLUMNS}.")
    if not _SECONDS.fullmatch(fields[0]):
        raise BadFile(f"Line {line}: {fields[0][:40]!r} is not a time in seconds.")
    for text in fields[1:]:
        if not _WHOLE.fullmatch(text):
            raise BadFile(f"Line {line}: {text[:40]!r} is not a whole number.")
    message = Message(line, *map(int, fields[1:]))
    if not NEW <= message.type <= HALT:
        raise BadFile(f"Line {line}: {message.type} is not a message type: LOBSTER has {NEW} to {HALT}.")
    if message.type <= EXECUTED:
        _check_order(message)
    return message


def _check_order(message: Message) -> None:
    if message.order_id <= 0 or not 0 < message.quantity <= MAX_SHARES or message.price <= 0:
        raise BadFile(
            f"Line {message.line}: order id, quantity and price must be above 0, and quantity at most {MAX_SHARES}."
        )
    if message.direction not in _SIDES:
        raise BadFile(f"Line {message.line}: {message.direction} is not a direction: 1 buys, -1 sells.")


@dataclass
class Executions:
    """Counts of recorded executions, by the order that the converted command traded with first, if it traded."""

    recorded_order: int = 0
    other_order: int = 0
    no_order: int = 0


def executions(events: Iterable[Mapping[str, Any]]) -> Executions:
    """Compares each execution in the events of an engine that ran the commands with NASDAQ's record."""
    found = Executions()
    names: dict[int, str] = {}  # order id → client order id
    taking: int | None = None  # order id of an IOC order that has not traded yet
    for event in events:
        kind = event.get("event")
        if taking is not None and kind in ("trade", "order_cancelled"):
            if kind == "order_cancelled":
                found.no_order += 1
            elif names[event["maker_order_id"]] == names[taking]:
                found.recorded_order += 1
            else:
                found.other_order += 1
            taking = None
        elif kind == "order_accepted":
            names[event["order_id"]] = event["client_order_id"]
            taking = event["order_id"] if event["time_in_force"] == "ioc" else None
    return found
