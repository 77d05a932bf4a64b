"""The JSON fields of events and of the summary, in the order of docs/semantics.md, section 7, with plain decimals."""

from fractions import Fraction
from typing import Any

from tests.reference import plain_decimal
from tests.reference.commands import Asset, Deposit, Withdraw
from tests.reference.ledger import Balance
from tests.reference.orders import Order

Event = dict[str, Any]


def transfer(command: Deposit | Withdraw) -> Event:
    asset = command.asset
    amount = plain_decimal.write(command.amount, asset.unit)
    return {"account": command.account, "asset": asset.symbol, "amount": amount, "reference": command.reference}


def accepted(order: Order) -> Event:
    """`order` before it trades."""
    instrument = order.instrument
    return {
        "order_id": order.order_id,
        "account": order.account,
        "symbol": instrument.symbol,
        "side": order.side,
        "order_type": order.order_type,
        "price": _write_optional(order.price, instrument.tick_size),
        "quantity": _write_optional(order.quantity, instrument.lot_size),
        "quote_quantity": _write_optional(order.quote_left, instrument.quote.unit),
        "time_in_force": order.time_in_force,
        "client_order_id": order.client_order_id,
        "trigger_price": _write_optional(order.trigger_price, instrument.tick_size),
        "visible_quantity": _write_optional(order.visible_quantity, instrument.lot_size),
        "order_list_id": order.order_list_id,
    }


def triggered(order: Order) -> Event:
    return {
        "order_id": order.order_id,
        "account": order.account,
        "symbol": order.instrument.symbol,
        "trigger_price": _write_optional(order.trigger_price, order.instrument.tick_size),
    }


def trade(trade_id: int, trade_number: int, maker: Order, taker: Order, lots: int, fees: tuple[int, int]) -> Event:
    """`fees`: the buyer's in base units, the seller's in quote units."""
    instrument = maker.instrument
    buyer, seller = (taker, maker) if taker.is_buy else (maker, taker)
    return {
        "trade_id": trade_id,
        "trade_number": trade_number,
        "symbol": instrument.symbol,
        "price": plain_decimal.write(maker.own_price, instrument.tick_size),
        "quantity": plain_decimal.write(lots, instrument.lot_size),
        "taker_side": taker.side,
        "maker_order_id": maker.order_id,
        "taker_order_id": taker.order_id,
        "buyer": buyer.account,
        "seller": seller.account,
        "buyer_fee": plain_decimal.write(fees[0], instrument.base.unit),
        "seller_fee": plain_decimal.write(fees[1], instrument.quote.unit),
    }


def cancelled(order: Order, reason: str, met: Order | None) -> Event:
    """`met`: the order that it met, for a self-trade only."""
    fields = {
        "order_id": order.order_id,
        "account": order.account,
        "symbol": order.instrument.symbol,
        "remaining": _write_optional(order.remaining, order.instrument.lot_size),
        "remaining_quote": _write_optional(order.quote_left, order.instrument.quote.unit),
        "reason": reason,
    }
    return fields if met is None else {**fields, "other_order_id": met.order_id}


def replaced(order: Order, kept_priority: bool) -> Event:
    """`order` as it is after the replacement."""
    return {
        "order_id": order.order_id,
        "account": order.account,
        "symbol": order.instrument.symbol,
        "price": plain_decimal.write(order.own_price, order.instrument.tick_size),
        "quantity": plain_decimal.write(order.open_lots, order.instrument.lot_size),
        "kept_priority": kept_priority,
        "client_order_id": order.client_order_id,
    }


def balance_row(account: int, asset: Asset, balance: Balance) -> Event:
    return {
        "account": account,
        "asset": asset.symbol,
        "available": plain_decimal.write(balance.available, asset.unit),
        "locked": plain_decimal.write(balance.locked, asset.unit),
    }


def order_row(order: Order) -> Event:
    """An order in a book; one with a visible quantity tells what it shows now."""
    instrument = order.instrument
    row = {
        "order_id": order.order_id,
        "account": order.account,
        "symbol": instrument.symbol,
        "side": order.side,
        "price": plain_decimal.write(order.own_price, instrument.tick_size),
        "quantity": _write_optional(order.quantity, instrument.lot_size),
        "remaining": plain_decimal.write(order.open_lots, instrument.lot_size),
    }
    if order.visible_quantity is None:
        return row
    return {**row, "visible": plain_decimal.write(order.shown, instrument.lot_size)}


def pending_row(order: Order) -> Event:
    """An order that waits for its trigger."""
    return {
        "order_id": order.order_id,
        "account": order.account,
        "symbol": order.instrument.symbol,
        "side": order.side,
        "order_type": order.order_type,
        "trigger_price": _write_optional(order.trigger_price, order.instrument.tick_size),
        "price": _write_optional(order.price, order.instrument.tick_size),
        "quantity": _write_optional(order.quantity, order.instrument.lot_size),
    }


def _write_optional(count: int | None, step: Fraction) -> str | None:
    return None if count is None else plain_decimal.write(count, step)
