"""The states of orders after a batch: the rows of the `orders` table."""

from collections.abc import Iterable, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ledger.api import compiled, inlined
from matching.core.blocks import Records
from matching.core.codes import (
    MAX_CLIENT_ORDER_ID_LENGTH,
    PRICED_TYPES,
    TRIGGER_TYPES,
    CommandFlag,
    CommandKind,
    EventFlag,
    EventKind,
    OrderType,
    Reason,
    SelfTradePrevention,
    Side,
    TimeInForce,
    name_of,
)
from matching.core.registry import Registry
from matching.core.texts import SEPARATOR
from settlement.errors import StoreDamaged
from settlement.project.columns import key_index
from settlement.project.columns.key_index import Table, home
from settlement.project.columns.records import BatchRecords
from settlement.stores.base import Order
from settlement.stores.base.columns import ABSENT, ColumnTable, Integers, Names, Numbers, OptionalNumbers, Words


def _names(codes: type[IntEnum]) -> tuple[str, ...]:
    return tuple(name_of(code) for code in codes)


def _names_by_code(codes: type[IntEnum]) -> tuple[str | None, ...]:
    """The names of codes that are not consecutive; None where there is no code."""
    names: list[str | None] = [None] * (max(codes) + 1)
    for code in codes:
        names[code] = name_of(code)
    return tuple(names)


SIDES = _names(Side)
STATUSES = ("open", "waiting", "filled", "cancelled")
_OPEN, _WAITING, _FILLED, _CANCELLED = range(len(STATUSES))
REASONS = (*_names_by_code(Reason), None)
_NO_REASON = len(REASONS) - 1

_WORDS: dict[str, Sequence[str | None]] = {
    "side": SIDES,
    "order_type": _names(OrderType),
    "time_in_force": _names(TimeInForce),
    "self_trade_prevention": _names(SelfTradePrevention),
    "status": STATUSES,
    "reason": REASONS,
}
"""Texts by code. `symbol` is the number of the instrument."""
_CODES = {field: {text: code for code, text in enumerate(texts)} for field, texts in _WORDS.items()}
_CODES["reason"][None] = _NO_REASON
_OPTIONAL = (
    *("price", "quantity", "quote_quantity", "trigger_price", "visible_quantity", "order_list_id", "triggered_at_ns"),
)


def _form(field: str) -> tuple[Any, ...]:
    if field == "client_order_id":
        return field, "u1", (MAX_CLIENT_ORDER_ID_LENGTH,)
    return (field, "<u4") if field == "symbol" else (field, "u1" if field in _WORDS or field == "post_only" else "<i8")


ORDER_STATE = np.dtype([_form(field) for field in Order._fields])
"""A `settlement.stores.base.Order`: words are codes, ABSENT is None, the client order id is padded with zeros."""
assert ORDER_STATE.itemsize < 180

_TRADE = int(EventKind.TRADE)
_ACCEPTED = int(EventKind.ORDER_ACCEPTED)
_ENDED = int(EventKind.ORDER_CANCELLED)
_REPLACED = int(EventKind.ORDER_REPLACED)
_TRIGGERED = int(EventKind.ORDER_TRIGGERED)
_POST_ONLY = int(CommandFlag.POST_ONLY)
_NEW_NAME = int(CommandFlag.NEW_NAME)
_BY_QUOTE = int(EventFlag.BY_QUOTE)
_LIMIT = int(OrderType.LIMIT)
_OCO = int(CommandKind.OCO)
_OCO_STOP = int(CommandKind.OCO_STOP)
_QUOTE_QUANTITY_USED = int(Reason.QUOTE_QUANTITY_USED)
_IS_PRICED = tuple(int(order_type in PRICED_TYPES) for order_type in OrderType)
_IS_TRIGGER = tuple(int(order_type in TRIGGER_TYPES) for order_type in OrderType)
_ORDER_TYPES = len(OrderType)
_SEPARATOR = SEPARATOR[0]
_LONGEST_NAME = MAX_CLIENT_ORDER_ID_LENGTH

_FINE, _LOST, _UNFIT = range(3)
_compiled = compiled(Path(__file__), Path(key_index.__file__))


class ChangedOrders:
    """The orders that a batch changes, numbered in the order in which they appear."""

    def __init__(self, batch: BatchRecords) -> None:
        self._batch = batch
        count = len(batch.events)
        self._of_event: Integers = np.empty((count, 3), np.int64)
        ids, is_placed = np.empty(3 * count, np.int64), np.zeros(3 * count, np.uint8)
        found = _number_orders(
            batch.events, batch.unlocked, key_index.empty_table(3 * count), self._of_event, ids, is_placed
        )
        self.ids: Integers = ids[:found]
        self.is_placed: npt.NDArray[np.bool_] = is_placed[:found].astype(bool)
        """Whether the batch places the order; the state of the others must be known before it."""

    def fold(self, states: Any) -> None:
        """Applies the events to `states`: ORDER_STATE of each order of `ids`, zeros for those that are placed.

        Raises StoreDamaged.
        """
        batch = self._batch
        fault, place = _fold(
            batch.events,
            batch.unlocked,
            self._of_event,
            batch.block_of,
            batch.blocks,
            batch.commands,
            batch.texts,
            states,
        )
        if fault != _FINE:
            what = "changes an order before it was placed" if fault == _LOST else "does not fit its command"
            raise StoreDamaged(f"Event {batch.events['sequence'][place]} {what}: run verify_settlement.")


def is_open(states: Any) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = states["status"] <= _WAITING
    return found


def table_of(states: Any, registry: Registry) -> ColumnTable[Order]:
    """The rows of ORDER_STATE records."""
    symbols = [instrument.symbol for instrument in registry.instruments]
    return ColumnTable(Order, **{field: _column(states, field, symbols) for field in Order._fields})


def _column(states: Any, field: str, symbols: Sequence[str]) -> Any:
    values = np.ascontiguousarray(states[field])
    if field == "client_order_id":
        return Names(values)
    if field == "symbol":
        return Words(values, symbols)
    if field in _WORDS:
        return Words(values, _WORDS[field])
    if field == "post_only":
        return Numbers(values.astype(bool))
    return OptionalNumbers(values) if field in _OPTIONAL else Numbers(values)


def states_of(orders: Sequence[Order], registry: Registry) -> Any:
    """ORDER_STATE of rows that a store has. Raises StoreDamaged for a row with a text that is none of ours."""
    states = np.zeros(len(orders), ORDER_STATE)
    if not orders:
        return states
    ids = {symbol: instrument.id for symbol, instrument in registry.instrument_by_symbol.items()}
    for field, values in zip(Order._fields, zip(*orders, strict=True), strict=True):
        if field == "client_order_id":
            states[field] = _padded(values)
        elif field in _OPTIONAL:
            states[field] = [ABSENT if value is None else value for value in values]
        elif field == "symbol" or field in _WORDS:
            codes: dict[Any, int] = ids if field == "symbol" else _CODES[field]
            states[field] = [_code(codes, value, field, order) for value, order in zip(values, orders, strict=True)]
        else:
            states[field] = values
    return states


def _code(codes: dict[Any, int], text: str | None, field: str, order: Order) -> int:
    if text not in codes:
        raise StoreDamaged(f"The stored order {order.order_id} has the {field} {text!r}, which does not exist.")
    return codes[text]


def _padded(names: Iterable[str | None]) -> npt.NDArray[np.uint8]:
    encoded = [(name or "").encode("ascii") for name in names]
    longest = max(encoded, key=len)
    if len(longest) > _LONGEST_NAME:
        raise StoreDamaged(f"A stored order has the client order id {longest!r}: more than {_LONGEST_NAME} characters.")
    return np.array(encoded, f"S{_LONGEST_NAME}").view(np.uint8).reshape(-1, _LONGEST_NAME)


@inlined
def _number(order_id: int, table: Table, ids: Integers, count: int) -> tuple[int, int]:
    """(number of the order, count of different orders)"""
    mask = len(table) - 1
    at = home(order_id, 0, mask)
    while table[at] != 0:
        if ids[table[at] - 1] == order_id:
            return table[at] - 1, count
        at = (at + 1) & mask
    ids[count] = order_id
    table[at] = count + 1
    return count, count + 1


@_compiled
def _number_orders(
    events: Records,
    unlocked: Integers,
    table: Table,
    of_event: Integers,
    ids: Integers,
    is_placed: npt.NDArray[np.uint8],
) -> int:
    """Writes the numbers of the order, the maker and the order by quote quantity that end with each event, or -1."""
    count = 0
    for place in range(len(events)):
        event = events[place]
        kind = event["kind"]
        of_event[place, 0] = of_event[place, 1] = of_event[place, 2] = -1
        if kind in (_TRADE, _ACCEPTED, _ENDED, _REPLACED, _TRIGGERED):
            of_event[place, 0], count = _number(event["order_id"], table, ids, count)
            if kind == _ACCEPTED:
                is_placed[of_event[place, 0]] = 1
            elif kind == _TRADE:
                of_event[place, 1], count = _number(event["other_order_id"], table, ids, count)
            if unlocked[place] != 0:
                # The id of an order is the sequence of its command, so this is the taker. The event itself may cancel
                # another order of the account.
                of_event[place, 2], count = _number(event["command_sequence"], table, ids, count)
    return count


@_compiled
def _fold(
    events: Records,
    unlocked: Integers,
    of_event: Integers,
    block_of: Integers,
    blocks: Any,
    commands: Records,
    texts: npt.NDArray[np.uint8],
    states: Any,
) -> tuple[int, int]:
    """Returns (fault, index of its event)."""
    for place in range(len(events)):
        if of_event[place, 0] < 0:
            continue
        event = events[place]
        kind = event["kind"]
        block = blocks[block_of[place]]
        at_ns, sequence = block["timestamp_ns"], event["sequence"]
        order = states[of_event[place, 0]]
        if kind == _ACCEPTED:
            if not _place(order, event, block, commands, texts):
                return _UNFIT, place
            continue
        if order["order_id"] == 0:
            return _LOST, place
        order["updated_at_ns"], order["updated_sequence"] = at_ns, sequence
        if kind == _TRADE:
            maker = states[of_event[place, 1]]
            if maker["order_id"] == 0:
                return _LOST, place
            maker["updated_at_ns"], maker["updated_sequence"] = at_ns, sequence
            _fill(order, event["quantity"])
            if order["quantity"] == ABSENT and block["is_early"]:
                order["status"] = _FILLED  # unless its cancellation follows; no event told of its end
            _fill(maker, event["quantity"])
        elif kind == _ENDED:
            _cancel(order, event["reason"])
        elif kind == _TRIGGERED:
            order["status"], order["triggered_at_ns"] = _OPEN, at_ns
        elif not _replace(order, event, block, commands, texts):
            return _UNFIT, place
        if unlocked[place] != 0:
            taker = states[of_event[place, 2]]
            if taker["order_id"] == 0:
                return _LOST, place
            # It ends with an amount left that is less than the price of a lot.
            taker["updated_at_ns"], taker["updated_sequence"] = at_ns, sequence
            if taker["filled"] == 0:
                _cancel(taker, _NO_REASON)
    return _FINE, -1


@inlined
def _fill(order: Any, lots: int) -> None:
    """Counts a trade. An order by quote_quantity stays open: how it ends is told by a later event."""
    order["filled"] += lots
    if order["quantity"] != ABSENT:
        order["remaining"] -= lots
        if order["remaining"] == 0:
            order["status"] = _FILLED


@inlined
def _cancel(order: Any, reason: int) -> None:
    """Ends the order. One that has traded and used its quote_quantity is filled."""
    order["remaining"] = 0
    order["status"] = _FILLED if reason == _QUOTE_QUANTITY_USED and order["filled"] != 0 else _CANCELLED
    order["reason"] = reason


@inlined
def _replace(order: Any, event: Any, block: Any, commands: Records, texts: npt.NDArray[np.uint8]) -> bool:
    """Whether its command is one for it: false for records that no engine makes."""
    order["price"], order["remaining"] = event["price"], event["quantity"]
    order["quantity"] = order["filled"] + event["quantity"]
    command = commands[block["commands_at"] + event["command_sequence"] - block["first_command"]]
    if not command["flags"] & _NEW_NAME:
        return True
    start = block["texts_at"] + command["text_offset"]
    end = start + command["text_length"]
    while start < end and texts[start] != _SEPARATOR:
        start += 1
    start += 1
    if start >= end:
        return True
    if end - start > _LONGEST_NAME:
        return False
    name = order["client_order_id"]
    for at in range(_LONGEST_NAME):
        name[at] = texts[start + at] if start + at < end else 0
    return True


@inlined
def _place(order: Any, event: Any, block: Any, commands: Records, texts: npt.NDArray[np.uint8]) -> bool:
    """Whether its command is one for it: false for records that no engine makes."""
    command = commands[block["commands_at"] + event["command_sequence"] - block["first_command"]]
    order_type, amount = command["order_type"], command["amount"]
    if order_type >= _ORDER_TYPES:
        return False
    is_by_quote, waits = event["flags"] & _BY_QUOTE, _IS_TRIGGER[order_type]
    order["order_id"], order["account"], order["symbol"] = event["order_id"], event["account"], event["instrument"]
    order["side"], order["order_type"], order["time_in_force"] = event["side"], order_type, command["time_in_force"]
    order["post_only"] = 1 if command["flags"] & _POST_ONLY else 0
    order["self_trade_prevention"] = command["self_trade_prevention"]
    order["price"] = event["price"] if _IS_PRICED[order_type] else ABSENT
    order["quantity"] = ABSENT if is_by_quote else event["quantity"]
    order["quote_quantity"] = amount if is_by_quote else ABSENT
    order["filled"] = 0
    order["remaining"] = 0 if is_by_quote else event["quantity"]
    order["status"] = _WAITING if waits else _OPEN
    order["reason"] = _NO_REASON
    order["placed_at_ns"] = order["updated_at_ns"] = block["timestamp_ns"]
    order["updated_sequence"] = event["sequence"]
    order["trigger_price"] = amount if waits else ABSENT
    order["visible_quantity"] = amount if order_type == _LIMIT and amount != 0 else ABSENT
    order["triggered_at_ns"] = ABSENT
    order["order_list_id"] = ABSENT
    if command["kind"] == _OCO:
        order["order_list_id"] = event["order_id"]
    elif command["kind"] == _OCO_STOP:
        order["order_list_id"] = event["order_id"] - 1
    name = order["client_order_id"]
    start = block["texts_at"] + command["text_offset"]
    for at in range(command["text_length"]):
        if texts[start + at] == _SEPARATOR:
            break
        if at == _LONGEST_NAME:
            return False
        name[at] = texts[start + at]
    return True
