"""The edge: encodes JSON commands with names and decimals as COMMAND records with ids, ticks, lots and units.

It runs in the client's process. It refuses what can be refused without the engine's state, in the order of
docs/semantics.md, section 4. Refused commands get no sequence number.
"""

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

from matching.core import layout
from matching.core.blocks import Records
from matching.core.codes import (
    AMOUNT_LIMIT,
    MAX_CLIENT_ORDER_ID_LENGTH,
    MAX_REFERENCE_LENGTH,
    NONE_ID,
    CommandKind,
    OrderType,
    Reason,
    SelfTradePrevention,
    Side,
    TimeInForce,
    is_definition,
    name_of,
)
from matching.core.decimals import INT64_MAX, DoesNotFit, NotPlain, Unit
from matching.core.errors import BadDefinition
from matching.core.registry import Instrument, Registry, canonical, status_named
from matching.core.texts import text_hash


class Refusal(NamedTuple):
    """`command` is the command's name, None if unknown."""

    command: str | None
    reason: Reason

    def event(self, line: int | None) -> dict[str, Any]:
        """The JSON form of a refusal at the edge."""
        return {
            "event": "rejected",
            "sequence": None,
            "line": line,
            "command": self.command,
            "reason": name_of(self.reason),
        }


class Encoded(NamedTuple):
    """A COMMAND record's fields except text_length, text_offset and text_hash, and its string."""

    kind: CommandKind
    instrument: int
    text: str = ""
    side: int = 0
    order_type: int = 0
    time_in_force: int = 0
    self_trade_prevention: int = 0
    post_only: int = 0
    account: int = 0
    price: int = 0
    quantity: int = 0
    amount: int = 0
    order_id: int = 0


class _Refused(Exception):
    def __init__(self, reason: Reason) -> None:
        self.reason = reason


class Edge:
    """Encodes commands with `registry`, which its owner keeps up to date."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._encoders: dict[str, Callable[[Mapping[str, Any]], Encoded]] = {
            "order": self._order,
            "cancel": self._cancel,
            "cancel_all": self._cancel_all,
            "replace": self._replace,
            "deposit": self._funding,
            "withdraw": self._funding,
            "asset": self._asset,
            "instrument": self._instrument,
            "instrument_status": self._status,
        }

    def encode(self, command: object) -> Encoded | Refusal:
        """Encodes one command in the form of docs/semantics.md, section 3. Fields not listed there are ignored."""
        name = command.get("command") if isinstance(command, dict) else None
        if not isinstance(command, dict) or not isinstance(name, str) or name not in self._encoders:
            return Refusal(None, Reason.MALFORMED)
        try:
            return self._encoders[name](command)
        except _Refused as refused:
            return Refusal(name, refused.reason)
        except BadDefinition:
            return Refusal(name, Reason.MALFORMED)

    def _order(self, command: Mapping[str, Any]) -> Encoded:
        account = _account(command)
        instrument = self._instrument_named(command)
        side = _choice(command, "side", Side, Reason.INVALID_SIDE)
        order_type = _choice(command, "order_type", OrderType, Reason.INVALID_ORDER_TYPE)
        market = order_type == OrderType.MARKET
        default = TimeInForce.IOC if market else TimeInForce.GTC
        time_in_force = _choice(command, "time_in_force", TimeInForce, Reason.INVALID_TIME_IN_FORCE, default)
        if market and time_in_force != TimeInForce.IOC:
            raise _Refused(Reason.INVALID_TIME_IN_FORCE)
        post_only = command.get("post_only")
        if post_only is not None and not isinstance(post_only, bool):
            raise _Refused(Reason.MALFORMED)
        if post_only and time_in_force != TimeInForce.GTC:
            raise _Refused(Reason.INVALID_TIME_IN_FORCE)
        prevention = _choice(
            command,
            "self_trade_prevention",
            SelfTradePrevention,
            Reason.MALFORMED,
            SelfTradePrevention.EXPIRE_TAKER,
        )
        text = (
            _text(command, "client_order_id", MAX_CLIENT_ORDER_ID_LENGTH) if _given(command, "client_order_id") else ""
        )
        by_quote = _given(command, "quote_quantity")
        if by_quote and (not market or side != Side.BUY or _given(command, "quantity")):
            raise _Refused(Reason.INVALID_QUANTITY)
        if market and _given(command, "price"):
            raise _Refused(Reason.INVALID_PRICE)
        price = 0 if market else _units(command, "price", instrument.tick, Reason.INVALID_PRICE)
        if by_quote:
            quantity = 0
            amount = _units(command, "quote_quantity", instrument.quote.unit, Reason.INVALID_QUANTITY)
        else:
            quantity = _units(command, "quantity", instrument.lot, Reason.INVALID_QUANTITY)
            amount = 0
        return Encoded(
            kind=CommandKind.ORDER,
            instrument=instrument.id,
            text=text,
            side=side,
            order_type=order_type,
            time_in_force=time_in_force,
            self_trade_prevention=prevention,
            post_only=1 if post_only else 0,
            account=account,
            price=price,
            quantity=quantity,
            amount=amount,
        )

    def _cancel(self, command: Mapping[str, Any]) -> Encoded:
        account = _account(command)
        instrument = self._instrument_named(command)
        order_id, text = _order_named(command)
        return Encoded(CommandKind.CANCEL, instrument.id, text, account=account, order_id=order_id)

    def _replace(self, command: Mapping[str, Any]) -> Encoded:
        account = _account(command)
        instrument = self._instrument_named(command)
        order_id, text = _order_named(command)
        return Encoded(
            CommandKind.REPLACE,
            instrument.id,
            text,
            account=account,
            order_id=order_id,
            price=_units(command, "price", instrument.tick, Reason.INVALID_PRICE),
            quantity=_units(command, "quantity", instrument.lot, Reason.INVALID_QUANTITY),
        )

    def _cancel_all(self, command: Mapping[str, Any]) -> Encoded:
        account = _account(command)
        anywhere = not _given(command, "symbol")
        instrument = NONE_ID if anywhere else self._instrument_named(command).id
        return Encoded(CommandKind.CANCEL_ALL, instrument, account=account)

    def _funding(self, command: Mapping[str, Any]) -> Encoded:
        account = _account(command)
        symbol = command.get("asset")
        if not isinstance(symbol, str):
            raise _Refused(Reason.MALFORMED)
        asset = self.registry.asset_by_symbol.get(symbol)
        if asset is None:
            raise _Refused(Reason.UNKNOWN_ASSET)
        amount = _units(command, "amount", asset.unit, Reason.INVALID_AMOUNT)
        text = _text(command, "reference", MAX_REFERENCE_LENGTH)
        kind = CommandKind.DEPOSIT if command["command"] == "deposit" else CommandKind.WITHDRAW
        return Encoded(kind, asset.id, text, account=account, amount=amount)

    def _asset(self, command: Mapping[str, Any]) -> Encoded:
        asset = self.registry.asset_from(command)
        return Encoded(CommandKind.ASSET, 0, canonical(asset.definition()))

    def _instrument(self, command: Mapping[str, Any]) -> Encoded:
        try:
            instrument = self.registry.instrument_from(command)
        except KeyError as error:
            raise _Refused(Reason.UNKNOWN_ASSET) from error
        # Refused only here, because blocks of earlier versions may define an instrument that can never be traded.
        if max(instrument.lot_units, instrument.quote_unit) > AMOUNT_LIMIT:
            raise _Refused(Reason.MALFORMED)
        return Encoded(CommandKind.INSTRUMENT, 0, canonical(instrument.definition()))

    def _status(self, command: Mapping[str, Any]) -> Encoded:
        instrument = self._instrument_named(command)
        status = status_named(command.get("status"))
        definition = {"command": "instrument_status", "symbol": instrument.symbol, "status": name_of(status)}
        return Encoded(CommandKind.INSTRUMENT_STATUS, instrument.id, canonical(definition))

    def _instrument_named(self, command: Mapping[str, Any]) -> Instrument:
        symbol = command.get("symbol")
        if not isinstance(symbol, str):
            raise _Refused(Reason.MALFORMED)
        instrument = self.registry.instrument_by_symbol.get(symbol)
        if instrument is None:
            raise _Refused(Reason.UNKNOWN_SYMBOL)
        return instrument


class BatchBuilder:
    """Collects commands for one message to the engine."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._rows: list[tuple[int, ...]] = []
        self._texts: list[bytes] = []
        self._text_size = 0
        self.ends_block = False
        """A command on reference data was added: send the batch and update the registry before the next command."""

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, command: object) -> Refusal | None:
        """Adds a command, or returns why it is refused."""
        encoded = self._edge.encode(command)
        if isinstance(encoded, Refusal):
            return encoded
        text = encoded.text.encode("ascii")
        defines = bool(is_definition(encoded.kind))
        self._rows.append(
            (
                encoded.kind,
                encoded.side,
                encoded.order_type,
                encoded.time_in_force,
                encoded.self_trade_prevention,
                encoded.post_only,
                len(text),
                encoded.instrument,
                self._text_size,
                encoded.account,
                encoded.price,
                encoded.quantity,
                encoded.amount,
                encoded.order_id,
                text_hash(text),
            )
        )
        self._texts.append(text)
        self._text_size += len(text)
        self.ends_block = self.ends_block or defines
        return None

    def take(self) -> tuple[Records, bytes]:
        """Returns COMMAND[n] and their strings, and empties the builder."""
        commands = np.array(self._rows, layout.COMMAND)
        texts = b"".join(self._texts)
        self._rows, self._texts, self._text_size, self.ends_block = [], [], 0, False
        return commands, texts


def _given(command: Mapping[str, Any], field: str) -> bool:
    """An optional field that is null counts as absent."""
    return command.get(field) is not None


def _account(command: Mapping[str, Any]) -> int:
    account = command.get("account")
    if type(account) is not int or not 0 <= account <= INT64_MAX:
        raise _Refused(Reason.MALFORMED)
    return account


def _choice(
    command: Mapping[str, Any], field: str, codes: type[IntEnum], unknown: Reason, default: IntEnum | None = None
) -> int:
    value = command.get(field)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise _Refused(Reason.MALFORMED)
    code = _NAMES[codes].get(value)
    if code is None:
        raise _Refused(unknown)
    return code


_NAMES: dict[type[IntEnum], dict[str, int]] = {
    codes: {name_of(code): int(code) for code in codes} for codes in (Side, OrderType, TimeInForce, SelfTradePrevention)
}


def _text(command: Mapping[str, Any], field: str, max_length: int) -> str:
    text = command.get(field)
    if not isinstance(text, str) or not 1 <= len(text) <= max_length or not (text.isascii() and text.isprintable()):
        raise _Refused(Reason.MALFORMED)
    return text


def _order_named(command: Mapping[str, Any]) -> tuple[int, str]:
    """(order_id, client_order_id) of a cancel or replace; exactly one of the two is given."""
    by_id, by_client_id = _given(command, "order_id"), _given(command, "client_order_id")
    if by_id == by_client_id:
        raise _Refused(Reason.MALFORMED)
    if by_client_id:
        return 0, _text(command, "client_order_id", MAX_CLIENT_ORDER_ID_LENGTH)
    order_id = command["order_id"]
    if type(order_id) is not int or not 1 <= order_id <= INT64_MAX:
        raise _Refused(Reason.MALFORMED)
    return order_id, ""


def _units(command: Mapping[str, Any], field: str, unit: Unit, wrong: Reason) -> int:
    try:
        return unit.count(command.get(field))
    except NotPlain as error:
        raise _Refused(Reason.MALFORMED) from error
    except DoesNotFit as error:
        raise _Refused(wrong) from error
