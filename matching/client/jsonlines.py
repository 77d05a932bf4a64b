"""Events, balances and open orders in the JSON Lines form of docs/semantics.md, section 7."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from matching.core import layout
from matching.core.blocks import Block, Records
from matching.core.codes import (
    NONE_ID,
    CommandKind,
    EventFlag,
    EventKind,
    OrderType,
    Reason,
    Side,
    TimeInForce,
    name_of,
)
from matching.core.registry import Registry

_EVENT_NAMES: dict[int, str] = {kind: name_of(kind) for kind in EventKind}
_REASON_NAMES: dict[int, str] = {reason: name_of(reason) for reason in Reason}
_SIDE_NAMES: dict[int, str] = {side: name_of(side) for side in Side}
_COMMAND_NAMES: dict[int, str] = {kind: name_of(kind) for kind in CommandKind}
_TYPE_NAMES: dict[int, str] = {order_type: name_of(order_type) for order_type in OrderType}
_TIME_IN_FORCE_NAMES: dict[int, str] = {time_in_force: name_of(time_in_force) for time_in_force in TimeInForce}
_FIELDS = tuple(layout.EVENT.names or ())


def dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def block_events(block: Block, registry: Registry) -> Iterator[dict[str, Any]]:
    """The events of a block, in order. The registry has all assets and instruments of the block."""
    texts = block.texts
    return events(block.events, block.commands, block.first_command_sequence, texts, registry)


def events(
    records: Records, commands: Records, first_command_sequence: int, texts: bytes, registry: Registry
) -> Iterator[dict[str, Any]]:
    """EVENT records as JSON. `commands` are the COMMAND records that caused them, from `first_command_sequence` on."""
    for row in records.tolist():
        event = dict(zip(_FIELDS, row, strict=True))
        command = commands[event["command_sequence"] - first_command_sequence]
        offset = int(command["text_offset"])
        text = texts[offset : offset + int(command["text_length"])].decode("ascii")
        kind = event["kind"]
        yield {
            "event": _EVENT_NAMES[kind],
            "sequence": event["sequence"],
            "command_sequence": event["command_sequence"],
            **_RENDERERS[kind](event, command, text, registry),
        }


def _order_accepted(event: dict[str, Any], command: np.void, text: str, registry: Registry) -> dict[str, Any]:
    instrument = registry.instruments[event["instrument"]]
    market = command["order_type"] == OrderType.MARKET
    by_quote = bool(event["flags"] & EventFlag.BY_QUOTE)
    return {
        "order_id": event["order_id"],
        "account": event["account"],
        "symbol": instrument.symbol,
        "side": _SIDE_NAMES[event["side"]],
        "order_type": _TYPE_NAMES[int(command["order_type"])],
        "price": None if market else instrument.tick.text(event["price"]),
        "quantity": None if by_quote else instrument.lot.text(event["quantity"]),
        "quote_quantity": instrument.quote.unit.text(event["amount"]) if by_quote else None,
        "time_in_force": _TIME_IN_FORCE_NAMES[int(command["time_in_force"])],
        "client_order_id": text or None,
    }


def _trade(event: dict[str, Any], command: np.void, text: str, registry: Registry) -> dict[str, Any]:
    instrument = registry.instruments[event["instrument"]]
    buys = event["side"] == Side.BUY
    taker, maker = event["account"], event["other_account"]
    return {
        "trade_id": event["sequence"],
        "symbol": instrument.symbol,
        "price": instrument.tick.text(event["price"]),
        "quantity": instrument.lot.text(event["quantity"]),
        "taker_side": _SIDE_NAMES[event["side"]],
        "maker_order_id": event["other_order_id"],
        "taker_order_id": event["order_id"],
        "buyer": taker if buys else maker,
        "seller": maker if buys else taker,
        "buyer_fee": instrument.base.unit.text(event["buyer_fee"]),
        "seller_fee": instrument.quote.unit.text(event["seller_fee"]),
    }


def _order_cancelled(event: dict[str, Any], command: np.void, text: str, registry: Registry) -> dict[str, Any]:
    instrument = registry.instruments[event["instrument"]]
    by_quote = bool(event["flags"] & EventFlag.BY_QUOTE)
    return {
        "order_id": event["order_id"],
        "account": event["account"],
        "symbol": instrument.symbol,
        "remaining": None if by_quote else instrument.lot.text(event["quantity"]),
        "remaining_quote": instrument.quote.unit.text(event["amount"]) if by_quote else None,
        "reason": _REASON_NAMES[event["reason"]],
    }


def _order_replaced(event: dict[str, Any], command: np.void, text: str, registry: Registry) -> dict[str, Any]:
    instrument = registry.instruments[event["instrument"]]
    return {
        "order_id": event["order_id"],
        "account": event["account"],
        "symbol": instrument.symbol,
        "price": instrument.tick.text(event["price"]),
        "quantity": instrument.lot.text(event["quantity"]),
        "kept_priority": bool(event["flags"] & EventFlag.KEPT_PRIORITY),
    }


def _orders_cancelled(event: dict[str, Any], command: np.void, text: str, registry: Registry) -> dict[str, Any]:
    anywhere = event["instrument"] == NONE_ID
    return {
        "account": event["account"],
        "symbol": None if anywhere else registry.instruments[event["instrument"]].symbol,
        "count": event["quantity"],
    }


def _funded(event: dict[str, Any], command: np.void, text: str, registry: Registry) -> dict[str, Any]:
    asset = registry.assets[event["instrument"]]
    return {
        "account": event["account"],
        "asset": asset.symbol,
        "amount": asset.unit.text(event["amount"]),
        "reference": text,
    }


def _asset_added(event: dict[str, Any], command: np.void, text: str, registry: Registry) -> dict[str, Any]:
    asset = registry.assets[event["instrument"]]
    return {"symbol": asset.symbol, "decimals": asset.decimals}


def _instrument_added(event: dict[str, Any], command: np.void, text: str, registry: Registry) -> dict[str, Any]:
    return {"symbol": registry.instruments[event["instrument"]].symbol}


def _status_changed(event: dict[str, Any], command: np.void, text: str, registry: Registry) -> dict[str, Any]:
    definition = json.loads(text)
    return {"symbol": definition["symbol"], "status": definition["status"]}


def _rejected(event: dict[str, Any], command: np.void, text: str, registry: Registry) -> dict[str, Any]:
    return {"command": _COMMAND_NAMES[int(command["kind"])], "reason": _REASON_NAMES[event["reason"]]}


_RENDERERS = {
    EventKind.ORDER_ACCEPTED: _order_accepted,
    EventKind.TRADE: _trade,
    EventKind.ORDER_CANCELLED: _order_cancelled,
    EventKind.ORDER_REPLACED: _order_replaced,
    EventKind.ORDERS_CANCELLED: _orders_cancelled,
    EventKind.DEPOSITED: _funded,
    EventKind.WITHDRAWN: _funded,
    EventKind.ASSET_ADDED: _asset_added,
    EventKind.INSTRUMENT_ADDED: _instrument_added,
    EventKind.INSTRUMENT_STATUS_CHANGED: _status_changed,
    EventKind.REJECTED: _rejected,
}
