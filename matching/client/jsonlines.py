"""Events, balances and open orders in the JSON Lines form of docs/semantics.md, section 7."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from matching.core import layout
from matching.core.blocks import Block, Records
from matching.core.codes import (
    NO_FEE,
    NONE_ID,
    PRICED_TYPES,
    TRIGGER_TYPES,
    AccountStatus,
    CommandKind,
    EventFlag,
    EventKind,
    OrderType,
    Reason,
    Side,
    TimeInForce,
    name_of,
    order_list_id,
)
from matching.core.registry import Instrument, Registry
from matching.core.texts import SEPARATOR

_SEPARATOR = SEPARATOR.decode("ascii")

Names = dict[int, str]
"""The client order ids of orders, by order_id; "" for an order without one. `events` adds those of accepted and
replaced orders."""

_EVENT_NAMES: dict[int, str] = {kind: name_of(kind) for kind in EventKind}
_REASON_NAMES: dict[int, str] = {reason: name_of(reason) for reason in Reason}
_SIDE_NAMES: dict[int, str] = {side: name_of(side) for side in Side}
_COMMAND_NAMES: dict[int, str] = {
    **{kind: name_of(kind) for kind in CommandKind},
    CommandKind.OCO_STOP: name_of(CommandKind.OCO),
}
_TYPE_NAMES: dict[int, str] = {order_type: name_of(order_type) for order_type in OrderType}
_TIME_IN_FORCE_NAMES: dict[int, str] = {time_in_force: name_of(time_in_force) for time_in_force in TimeInForce}
_STATUS_NAMES: dict[int, str] = {status: name_of(status) for status in AccountStatus}
_FIELDS = tuple(layout.EVENT.names or ())


class _Event(NamedTuple):
    """An event with what its JSON form needs besides; `text` and `second_text` are the strings of its command."""

    fields: dict[str, Any]
    command: np.void
    text: str
    second_text: str
    registry: Registry
    names: Names

    @property
    def instrument(self) -> Instrument:
        number: int = self.fields["instrument"]
        return self.registry.instruments[number]

    @property
    def symbol(self) -> str | None:
        """None: all instruments."""
        return None if self.fields["instrument"] == NONE_ID else self.instrument.symbol

    @property
    def is_by_quote(self) -> bool:
        return bool(self.fields["flags"] & EventFlag.BY_QUOTE)


def dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def block_events(block: Block, registry: Registry, names: Names | None = None) -> Iterator[dict[str, Any]]:
    """The events of a block, in order. The registry has all assets and instruments of the block."""
    texts = block.texts
    return events(block.events, block.commands, block.first_command_sequence, texts, registry, names)


def events(
    records: Records,
    commands: Records,
    first_command_sequence: int,
    texts: bytes,
    registry: Registry,
    names: Names | None = None,
) -> Iterator[dict[str, Any]]:
    """EVENT records as JSON. `commands` are the COMMAND records that caused them, from `first_command_sequence` on.

    A replace that names its order by order_id does not say which client order id the order has: that is read from
    `names`. For an order that is not there, `order_replaced` has no field client_order_id.
    """
    names = {} if names is None else names
    for row in records.tolist():
        fields = dict(zip(_FIELDS, row, strict=True))
        command = commands[fields["command_sequence"] - first_command_sequence]
        offset = int(command["text_offset"])
        text = texts[offset : offset + int(command["text_length"])].decode("ascii")
        first_text, _, second_text = text.partition(_SEPARATOR)
        kind = fields["kind"]
        yield {
            "event": _EVENT_NAMES[kind],
            "sequence": fields["sequence"],
            "command_sequence": fields["command_sequence"],
            **_RENDERERS[kind](_Event(fields, command, first_text, second_text, registry, names)),
        }


def _order_accepted(event: _Event) -> dict[str, Any]:
    fields, command, instrument = event.fields, event.command, event.instrument
    kind, order_type, amount = int(command["kind"]), int(command["order_type"]), int(command["amount"])
    order_id = fields["order_id"]
    event.names[order_id] = event.text
    shows_a_part = kind == CommandKind.ORDER and order_type == OrderType.LIMIT and amount != 0
    return {
        "order_id": order_id,
        "account": fields["account"],
        "symbol": instrument.symbol,
        "side": _SIDE_NAMES[fields["side"]],
        "order_type": _TYPE_NAMES[order_type],
        "price": instrument.tick.text(fields["price"]) if order_type in PRICED_TYPES else None,
        "quantity": None if event.is_by_quote else instrument.lot.text(fields["quantity"]),
        "quote_quantity": instrument.quote.unit.text(amount) if event.is_by_quote else None,
        "time_in_force": _TIME_IN_FORCE_NAMES[int(command["time_in_force"])],
        "client_order_id": event.text or None,
        "trigger_price": instrument.tick.text(amount) if order_type in TRIGGER_TYPES else None,
        "visible_quantity": instrument.lot.text(amount) if shows_a_part else None,
        "order_list_id": order_list_id(kind, order_id),
    }


def _order_triggered(event: _Event) -> dict[str, Any]:
    return {
        "order_id": event.fields["order_id"],
        "account": event.fields["account"],
        "symbol": event.symbol,
        "trigger_price": event.instrument.tick.text(event.fields["price"]),
    }


def _trade(event: _Event) -> dict[str, Any]:
    fields, instrument = event.fields, event.instrument
    buys = fields["side"] == Side.BUY
    taker, maker = fields["account"], fields["other_account"]
    return {
        "trade_id": fields["sequence"],
        "trade_number": fields["trade_number"],
        "symbol": instrument.symbol,
        "price": instrument.tick.text(fields["price"]),
        "quantity": instrument.lot.text(fields["quantity"]),
        "taker_side": _SIDE_NAMES[fields["side"]],
        "maker_order_id": fields["other_order_id"],
        "taker_order_id": fields["order_id"],
        "buyer": taker if buys else maker,
        "seller": maker if buys else taker,
        "buyer_fee": instrument.base.unit.text(fields["buyer_fee"]),
        "seller_fee": instrument.quote.unit.text(fields["seller_fee"]),
    }


def _order_cancelled(event: _Event) -> dict[str, Any]:
    fields, instrument = event.fields, event.instrument
    by_quote, left = event.is_by_quote, fields["quantity"]
    met = {"other_order_id": fields["other_order_id"]} if fields["reason"] == Reason.SELF_TRADE else {}
    return {
        "order_id": fields["order_id"],
        "account": fields["account"],
        "symbol": instrument.symbol,
        "remaining": None if by_quote else instrument.lot.text(left),
        "remaining_quote": instrument.quote.unit.text(left) if by_quote else None,
        "reason": _REASON_NAMES[fields["reason"]],
        **met,
    }


def _order_replaced(event: _Event) -> dict[str, Any]:
    fields, instrument, order_id = event.fields, event.instrument, event.fields["order_id"]
    given = event.second_text or event.text
    if given:
        event.names.pop(order_id, None)  # so that the newest names are last
        event.names[order_id] = given
    name = event.names.get(order_id)
    return {
        "order_id": order_id,
        "account": fields["account"],
        "symbol": instrument.symbol,
        "price": instrument.tick.text(fields["price"]),
        "quantity": instrument.lot.text(fields["quantity"]),
        "kept_priority": bool(fields["flags"] & EventFlag.KEPT_PRIORITY),
        **({} if name is None else {"client_order_id": name or None}),
    }


def _orders_cancelled(event: _Event) -> dict[str, Any]:
    return {"account": event.fields["account"], "symbol": event.symbol, "count": event.fields["quantity"]}


def _funded(event: _Event) -> dict[str, Any]:
    asset = event.registry.assets[event.fields["instrument"]]
    return {
        "account": event.fields["account"],
        "asset": asset.symbol,
        "amount": asset.unit.text(event.fields["amount"]),
        "reference": event.text,
    }


def _asset_added(event: _Event) -> dict[str, Any]:
    asset = event.registry.assets[event.fields["instrument"]]
    return {"symbol": asset.symbol, "decimals": asset.decimals}


def _instrument_only(event: _Event) -> dict[str, Any]:
    return {"symbol": event.symbol}


def _instrument_status_changed(event: _Event) -> dict[str, Any]:
    definition = json.loads(event.text)
    return {"symbol": definition["symbol"], "status": definition["status"]}


def _account_status_changed(event: _Event) -> dict[str, Any]:
    return {"account": event.fields["account"], "status": _STATUS_NAMES[event.fields["side"]]}


def _account_fees_changed(event: _Event) -> dict[str, Any]:
    fields = event.fields
    maker_fee, taker_fee = (None if rate == NO_FEE else rate for rate in (fields["price"], fields["quantity"]))
    return {"account": fields["account"], "symbol": event.symbol, "maker_fee": maker_fee, "taker_fee": taker_fee}


def _rejected(event: _Event) -> dict[str, Any]:
    return {"command": _COMMAND_NAMES[int(event.command["kind"])], "reason": _REASON_NAMES[event.fields["reason"]]}


_RENDERERS = {
    EventKind.ORDER_ACCEPTED: _order_accepted,
    EventKind.ORDER_TRIGGERED: _order_triggered,
    EventKind.TRADE: _trade,
    EventKind.ORDER_CANCELLED: _order_cancelled,
    EventKind.ORDER_REPLACED: _order_replaced,
    EventKind.ORDERS_CANCELLED: _orders_cancelled,
    EventKind.DEPOSITED: _funded,
    EventKind.WITHDRAWN: _funded,
    EventKind.ASSET_ADDED: _asset_added,
    EventKind.INSTRUMENT_ADDED: _instrument_only,
    EventKind.INSTRUMENT_STATUS_CHANGED: _instrument_status_changed,
    EventKind.INSTRUMENT_UPDATED: _instrument_only,
    EventKind.ACCOUNT_STATUS_CHANGED: _account_status_changed,
    EventKind.ACCOUNT_FEES_CHANGED: _account_fees_changed,
    EventKind.REJECTED: _rejected,
}
