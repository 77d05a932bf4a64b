"""The reference engine: a slow and simple implementation that tests compare the fast engine with.

It takes commands and returns their events. Internally all amounts are whole ticks, lots and smallest units, as Python
ints, which never overflow. Commands and events have plain decimals. Refusals in the engine are reason codes; a broken
invariant is an assertion error.
"""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import xxhash

from tests.reference import forms
from tests.reference.admission import Admission
from tests.reference.book import OPPOSITE, Book, Order
from tests.reference.commands import (
    AddAsset,
    AddInstrument,
    Cancel,
    CancelAll,
    Command,
    Deposit,
    PlaceOrder,
    Replace,
    SetStatus,
    Withdraw,
)
from tests.reference.edge import Edge, Refused, command_name, parse_line
from tests.reference.forms import Event
from tests.reference.ledger import HOUSE, SUPPLY_LIMIT, Ledger

PPM = 1_000_000


class ReferenceExchange:
    def __init__(self) -> None:
        self.edge = Edge()
        self.status: dict[str, str] = {}  # by symbol, like the books
        self.books: dict[str, Book] = {}
        self.open: dict[int, Order] = {}  # by order_id: orders in the books
        self.open_by_client_id: dict[tuple[int, str, str], Order] = {}  # by account, symbol, client_order_id
        self.funds = Ledger()
        self.admission = Admission(self.status, self.books, self.funds, self.open_by_client_id)
        self.deposit_references: set[tuple[int, str]] = set()
        self.withdraw_references: set[tuple[int, str]] = set()
        self.command_count = 0
        self.event_count = 0
        self.trade_count = 0
        self._events: list[Event] = []  # of the current command

    # Commands in, events out

    def submit_line(self, text: str, line: int) -> list[Event]:
        """Applies one line of JSON; `line` is its number, returned if the edge refuses it. Blank lines are ignored."""
        if not text.strip(" \t\r\n\v\f"):
            return []
        events = self.submit(parse_line(text))
        for event in events:
            if event["sequence"] is None:
                event["line"] = line
        return events

    def submit(self, value: object) -> list[Event]:
        """Applies one parsed JSON value (malformed unless an object). The caller sets `line` of a refusal."""
        name = command_name(value)
        try:
            command = self.edge.read(value)
        except Refused as refused:
            return [{"event": "rejected", "sequence": None, "line": None, "command": name, "reason": refused.reason}]
        self.command_count += 1
        self._events = []
        reason = self._apply(command)
        if reason is not None:
            self._emit("rejected", command=name, reason=reason)
        return self._events

    def _apply(self, command: Command) -> str | None:
        """The reject reason, None if the command was carried out."""
        handlers: dict[type, Callable[[Any], str | None]] = {
            AddAsset: self._add_asset,
            AddInstrument: self._add_instrument,
            SetStatus: self._set_status,
            Deposit: self._deposit,
            Withdraw: self._withdraw,
            PlaceOrder: self._place_order,
            Cancel: self._cancel,
            CancelAll: self._cancel_all,
            Replace: self._replace,
        }
        return handlers[type(command)](command)

    def _emit(self, event: str, **fields: object) -> int:
        self.event_count += 1
        heading = {"event": event, "sequence": self.event_count, "command_sequence": self.command_count}
        self._events.append({**heading, **fields})
        return self.event_count

    # Assets, instruments, deposits, withdrawals

    def _add_asset(self, command: AddAsset) -> str | None:
        asset = command.asset
        if asset.symbol in self.edge.assets:
            return "already_exists"
        self.edge.assets[asset.symbol] = asset
        self._emit("asset_added", symbol=asset.symbol, decimals=asset.decimals)
        return None

    def _add_instrument(self, command: AddInstrument) -> str | None:
        symbol = command.instrument.symbol
        if symbol in self.edge.instruments:
            return "already_exists"
        self.edge.instruments[symbol] = command.instrument
        self.status[symbol] = "trading"
        self.books[symbol] = Book()
        self._emit("instrument_added", symbol=symbol)
        return None

    def _set_status(self, command: SetStatus) -> str | None:
        self.status[command.symbol] = command.status
        self._emit("instrument_status_changed", symbol=command.symbol, status=command.status)
        return None

    def _deposit(self, command: Deposit) -> str | None:
        asset = command.asset.symbol
        if command.amount <= 0:
            return "invalid_amount"
        if self.funds.supply.get(asset, 0) + command.amount > SUPPLY_LIMIT:
            return "supply_overflow"
        if (command.account, command.reference) in self.deposit_references:
            return "duplicate_reference"
        self.deposit_references.add((command.account, command.reference))
        sequence = self._emit("deposited", **forms.transfer(command))
        self.funds.deposit(sequence, command.account, asset, command.amount)
        return None

    def _withdraw(self, command: Withdraw) -> str | None:
        asset = command.asset.symbol
        if command.amount <= 0:
            return "invalid_amount"
        if (command.account, command.reference) in self.withdraw_references:
            return "duplicate_reference"
        if command.amount > self.funds.available(command.account, asset):
            return "insufficient_balance"
        self.withdraw_references.add((command.account, command.reference))
        sequence = self._emit("withdrawn", **forms.transfer(command))
        self.funds.withdraw(sequence, command.account, asset, command.amount)
        return None

    # Orders

    def _place_order(self, command: PlaceOrder) -> str | None:
        order = Order(
            order_id=self.command_count,
            account=command.account,
            instrument=command.instrument,
            side=command.side,
            price=command.price,
            quantity=command.quantity,
            remaining=command.quantity,
            quote_left=command.quote_quantity,
            time_in_force=command.time_in_force,
            post_only=command.post_only,
            self_trade_prevention=command.self_trade_prevention,
            client_order_id=command.client_order_id,
        )
        reason = self.admission.refusal_of(order)
        if reason is not None:
            return reason
        sequence = self._emit("order_accepted", **forms.accepted(order.order_id, command))
        self._set_hold(sequence, order, self.admission.funds_needed(order))
        self._match(order)
        return None

    def _cancel(self, command: Cancel) -> str | None:
        order = self._find(command)
        if order is None:
            return "unknown_order"
        if self.status[command.symbol] == "halted":
            return "instrument_halted"
        self._cancel_resting(order, "user")
        return None

    def _cancel_all(self, command: CancelAll) -> str | None:
        if command.symbol is not None and self.status[command.symbol] == "halted":
            return "instrument_halted"
        doomed = [
            order
            for _, order in sorted(self.open.items())
            if order.account == command.account
            and command.symbol in (None, order.instrument.symbol)
            and self.status[order.instrument.symbol] != "halted"
        ]
        for order in doomed:
            self._cancel_resting(order, "user")
        self._emit("orders_cancelled", account=command.account, symbol=command.symbol, count=len(doomed))
        return None

    def _replace(self, command: Replace) -> str | None:
        order = self._find(command)
        if order is None:
            return "unknown_order"
        assert order.quantity is not None
        total = order.quantity - order.open_lots + command.quantity
        wanted = dataclasses.replace(order, price=command.price, remaining=command.quantity, quantity=total)
        reason = self.admission.refusal_of(wanted)
        if reason is not None:
            return reason
        keeps_place = command.price == order.price and command.quantity <= order.open_lots
        sequence = self._emit("order_replaced", **forms.replaced(wanted, keeps_place))
        if not keeps_place:
            self._take_from_book(order)
        order.price, order.remaining, order.quantity = command.price, command.quantity, total
        self._set_hold(sequence, order, order.hold)
        if not keeps_place:
            self._match(order)
        return None

    def _find(self, command: Cancel | Replace) -> Order | None:
        """The open order that a command names, if it belongs to the account and instrument."""
        if command.client_order_id is not None:
            return self.open_by_client_id.get((command.account, command.symbol, command.client_order_id))
        order = self.open.get(command.order_id or 0)
        if order is None or order.account != command.account or order.instrument.symbol != command.symbol:
            return None
        return order

    # Matching

    def _match(self, taker: Order) -> None:
        """Trades until the taker is filled or nothing crosses, then adds the rest to the book or cancels it."""
        book = self.books[taker.instrument.symbol]
        while taker.remaining != 0:
            maker = book.first(OPPOSITE[taker.side])
            if maker is None or not taker.accepts(maker.own_price):
                self._finish_unmatched(taker)
                return
            lots = taker.takes(maker)
            if lots == 0:
                self._set_hold(self.event_count, taker, 0)
                return
            if maker.account != taker.account or taker.self_trade_prevention == "none":
                self._trade(maker, taker, lots)
                continue
            if taker.self_trade_prevention in ("expire_maker", "expire_both"):
                self._cancel_resting(maker, "self_trade")
            if taker.self_trade_prevention in ("expire_taker", "expire_both"):
                self._emit_cancelled(taker, "self_trade")
                return
        assert taker.held == 0, taker

    def _finish_unmatched(self, taker: Order) -> None:
        if taker.is_market:
            if taker.quote_left != 0:
                self._emit_cancelled(taker, "no_liquidity")
        elif taker.time_in_force == "ioc":
            self._emit_cancelled(taker, "ioc")
        else:
            assert taker.time_in_force == "gtc", taker
            self._put_into_book(taker)

    def _trade(self, maker: Order, taker: Order, lots: int) -> None:
        instrument, price = taker.instrument, maker.own_price
        buyer, seller = (taker, maker) if taker.is_buy else (maker, taker)
        base_amount = lots * instrument.lot_units
        quote_amount = lots * price * instrument.quote_unit
        buyer_fee = base_amount * (instrument.taker_fee if buyer is taker else instrument.maker_fee) // PPM
        seller_fee = quote_amount * (instrument.taker_fee if seller is taker else instrument.maker_fee) // PPM
        fields = forms.trade(self.event_count + 1, maker, taker, lots, buyer_fee, seller_fee)
        sequence = self._emit("trade", **fields)
        self.trade_count += 1
        self._settle(sequence, buyer, seller, (lots, price), (base_amount, quote_amount), (buyer_fee, seller_fee))
        for order in (maker, taker):
            if order.remaining is not None:
                order.remaining -= lots
        if taker.quote_left is not None:
            taker.quote_left -= quote_amount
        if maker.remaining == 0:
            assert maker.held == 0, maker
            self._take_from_book(maker)

    def _settle(
        self,
        sequence: int,
        buyer: Order,
        seller: Order,
        lots_and_price: tuple[int, int],
        base_and_quote: tuple[int, int],
        fees: tuple[int, int],
    ) -> None:
        """Ledger entries of one trade: buyer, seller, house. A market order locked exactly what it pays."""
        lots, price = lots_and_price
        base_amount, quote_amount = base_and_quote
        buyer_fee, seller_fee = fees
        base, quote = buyer.instrument.base.symbol, buyer.instrument.quote.symbol
        own_price = price if buyer.price is None else buyer.price
        released = lots * (own_price - price) * buyer.instrument.quote_unit
        buyer.held -= quote_amount + released
        seller.held -= base_amount
        assert min(buyer.held, seller.held) >= 0, (buyer, seller)
        post = self.funds.post
        post(sequence, buyer.account, quote, "trade_debit", locked=-quote_amount)
        post(sequence, buyer.account, quote, "release", available=released, locked=-released)
        post(sequence, buyer.account, base, "trade_credit", available=base_amount)
        post(sequence, buyer.account, base, "fee", available=-buyer_fee)
        post(sequence, seller.account, base, "trade_debit", locked=-base_amount)
        post(sequence, seller.account, quote, "trade_credit", available=quote_amount)
        post(sequence, seller.account, quote, "fee", available=-seller_fee)
        post(sequence, HOUSE, base, "fee", available=buyer_fee)
        post(sequence, HOUSE, quote, "fee", available=seller_fee)

    # Open orders and what they hold

    def _set_hold(self, sequence: int, order: Order, amount: int) -> None:
        """Locks or unlocks the difference to the amount that the order has locked."""
        self.funds.lock(sequence, order.account, order.locked_asset, amount - order.held)
        order.held = amount

    def _put_into_book(self, order: Order) -> None:
        self.books[order.instrument.symbol].add(order)
        self.open[order.order_id] = order
        if order.client_order_id is not None:
            self.open_by_client_id[order.account, order.instrument.symbol, order.client_order_id] = order

    def _take_from_book(self, order: Order) -> None:
        self.books[order.instrument.symbol].remove(order)
        del self.open[order.order_id]
        if order.client_order_id is not None:
            del self.open_by_client_id[order.account, order.instrument.symbol, order.client_order_id]

    def _cancel_resting(self, order: Order, reason: str) -> None:
        self._take_from_book(order)
        self._emit_cancelled(order, reason)

    def _emit_cancelled(self, order: Order, reason: str) -> None:
        """Unlocks the funds of an order that is not in the book."""
        sequence = self._emit("order_cancelled", **forms.cancelled(order, reason))
        self._set_hold(sequence, order, 0)

    # The state, as the summary tells it

    def balances(self) -> list[Event]:
        return [
            forms.balance_row(account, self.edge.assets[asset], balance)
            for (account, asset), balance in sorted(self.funds.balances.items(), key=lambda item: item[0])
            if balance.available or balance.locked
        ]

    def open_orders(self) -> list[Event]:
        return [
            forms.order_row(order)
            for symbol in sorted(self.books)
            for side in ("buy", "sell")
            for order in self.books[symbol].orders(side)
        ]

    def state_digest(self) -> str:
        state = {"balances": self.balances(), "open_orders": self.open_orders()}
        return xxhash.xxh3_64_hexdigest(json.dumps(state, separators=(",", ":")).encode())

    def summary(self) -> Event:
        """Without `block` and `state_hash`, which belong to blocks."""
        return {
            "summary": True,
            "commands": self.command_count,
            "events": self.event_count,
            "trades": self.trade_count,
            "state_digest": self.state_digest(),
            "balances": self.balances(),
            "open_orders": self.open_orders(),
        }

    @property
    def ledger(self) -> list[Event]:
        """All ledger entries in order (the list itself; callers must not change it)."""
        return self.funds.entries

    def check_invariants(self) -> None:
        """Checks the invariants that hold between commands."""
        held: dict[tuple[int, str], int] = {}
        for order in self.open.values():
            assert order.held == order.hold > 0, order
            assert 0 < order.open_lots <= (order.quantity or 0), order
            key = (order.account, order.locked_asset)
            held[key] = held.get(key, 0) + order.hold
        self.funds.check_invariants(held)
        for book in self.books.values():
            bid, ask = book.best_price("buy"), book.best_price("sell")
            assert bid is None or ask is None or bid < ask, (bid, ask)
        in_books = sum(1 for book in self.books.values() for side in OPPOSITE for _ in book.orders(side))
        assert in_books == len(self.open), (in_books, len(self.open))
        named = sum(1 for order in self.open.values() if order.client_order_id is not None)
        assert named == len(self.open_by_client_id), (named, len(self.open_by_client_id))
