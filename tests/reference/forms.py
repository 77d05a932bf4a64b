"""The JSON fields of events and of the summary, in the order of docs/semantics.md, section 7, with plain decimals."""

from fractions import Fraction
from typing import Any

from tests.reference import plain_decimal
from tests.reference.book import Order
from tests.reference.commands import Asset, Deposit, PlaceOrder, Withdraw
from tests.reference.ledger import Balance

Event = dict[str, Any]


def transfer(command: Deposit | Withdraw) -> Event:
    asset = command.asset
    amount = plain_decimal.write(command.amount, asset.unit)
    return {"account": command.account, "asset": asset.symbol, "amount": amount, "reference": command.reference}


def accepted(order_id: int, command: PlaceOrder) -> Event:
    instrument = command.instrument
    return {
        "order_id": order_id,
        "account": command.account,
        "symbol": instrument.symbol,
        "side": command.side,
        "order_type": command.order_type,
        "price": _write_optional(command.price, instrument.tick_size),
        "quantity": _write_optional(command.quantity, instrument.lot_size),
        "quote_quantity": _write_optional(command.quote_quantity, instrument.quote.unit),
        "time_in_force": command.time_in_force,
        "client_order_id": command.client_order_id,
    }


def trade(trade_id: int, maker: Order, taker: Order, lots: int, buyer_fee: int, seller_fee: int) -> Event:
    instrument = maker.instrument
    buyer, seller = (taker, maker) if taker.is_buy else (maker, taker)
    return {
        "trade_id": trade_id,
        "symbol": instrument.symbol,
        "price": plain_decimal.write(maker.own_price, instrument.tick_size),
        "quantity": plain_decimal.write(lots, instrument.lot_size),
        "taker_side": taker.side,
        "maker_order_id": maker.order_id,
        "taker_order_id": taker.order_id,
        "buyer": buyer.account,
        "seller": seller.account,
        "buyer_fee": plain_decimal.write(buyer_fee, instrument.base.unit),
        "seller_fee": plain_decimal.write(seller_fee, instrument.quote.unit),
    }


def cancelled(order: Order, reason: str) -> Event:
    return {
        "order_id": order.order_id,
        "account": order.account,
        "symbol": order.instrument.symbol,
        "remaining": _write_optional(order.remaining, order.instrument.lot_size),
        "remaining_quote": _write_optional(order.quote_left, order.instrument.quote.unit),
        "reason": reason,
    }


def replaced(order: Order, kept_priority: bool) -> Event:
    """`order` as it is after the replacement."""
    return {
        "order_id": order.order_id,
        "account": order.account,
        "symbol": order.instrument.symbol,
        "price": plain_decimal.write(order.own_price, order.instrument.tick_size),
        "quantity": plain_decimal.write(order.open_lots, order.instrument.lot_size),
        "kept_priority": kept_priority,
    }


def balance_row(account: int, asset: Asset, balance: Balance) -> Event:
    return {
        "account": account,
        "asset": asset.symbol,
        "available": plain_decimal.write(balance.available, asset.unit),
        "locked": plain_decimal.write(balance.locked, asset.unit),
    }


def order_row(order: Order) -> Event:
    return {
        "order_id": order.order_id,
        "account": order.account,
        "symbol": order.instrument.symbol,
        "side": order.side,
        "price": plain_decimal.write(order.own_price, order.instrument.tick_size),
        "quantity": _write_optional(order.quantity, order.instrument.lot_size),
        "remaining": plain_decimal.write(order.open_lots, order.instrument.lot_size),
    }


def _write_optional(count: int | None, step: Fraction) -> str | None:
    return None if count is None else plain_decimal.write(count, step)
