"""The edge: encodes JSON commands with names and decimals as COMMAND records with ids, ticks, lots and units.

It runs in the client's process. It refuses what can be refused without the engine's state, in the order of
docs/semantics.md, section 4. Refused commands get no sequence number.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from matching.client import fields
from matching.client.fields import Command, Refused
from matching.core import layout
from matching.core.blocks import Records
from matching.core.codes import (
    AMOUNT_LIMIT,
    MAX_REFERENCE_LENGTH,
    NO_FEE,
    NONE_ID,
    PRICED_TYPES,
    TRIGGER_TYPES,
    AccountStatus,
    CommandFlag,
    CommandKind,
    InstrumentValue,
    OrderType,
    Reason,
    Side,
    TimeInForce,
    is_definition,
    name_of,
)
from matching.core.errors import BadDefinition
from matching.core.registry import Instrument, Registry, canonical, fee, status_named
from matching.core.texts import SEPARATOR, signed, text_hash

_MAY_REQUIRE = (CommandKind.ORDER, CommandKind.OCO)
_REFUSED_ZERO = -1
"""A visible_quantity of 0, which the engine refuses. In the record 0 means that there is none."""


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
    """A COMMAND record's fields except text_length, text_offset and text_hash, and its strings."""

    kind: CommandKind
    instrument: int
    text: str = ""
    side: int = 0
    order_type: int = 0
    time_in_force: int = 0
    self_trade_prevention: int = 0
    flags: int = 0
    account: int = 0
    price: int = 0
    quantity: int = 0
    amount: int = 0
    order_id: int = 0

    def stop_leg(self, *, name: str, order_type: int, time_in_force: int, price: int, trigger_price: int) -> "Encoded":
        """The second record of the one-cancels-other whose limit leg this is. `price`: 0 for a market order."""
        return self._replace(
            kind=CommandKind.OCO_STOP,
            text=name,
            order_type=order_type,
            time_in_force=time_in_force,
            flags=0,
            price=price,
            amount=trigger_price,
        )


class Edge:
    """Encodes commands with `registry`, which its owner keeps up to date."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._encoders: dict[str, Callable[[Command], list[Encoded]]] = {
            "order": self._order,
            "oco": self._oco,
            "cancel": self._cancel,
            "cancel_all": self._cancel_all,
            "replace": self._replace,
            "deposit": self._funding,
            "withdraw": self._funding,
            "asset": self._asset,
            "instrument": self._instrument,
            "instrument_status": self._instrument_status,
            "instrument_update": self._instrument_update,
            "account_status": self._account_status,
            "account_fees": self._account_fees,
        }

    def encode(self, command: object) -> list[Encoded] | Refusal:
        """Encodes one command in the form of docs/semantics.md, section 3: as one record, an oco as two.

        Fields not listed there are ignored.
        """
        name = command.get("command") if isinstance(command, dict) else None
        if not isinstance(command, dict) or not isinstance(name, str) or name not in self._encoders:
            return Refusal(None, Reason.MALFORMED)
        try:
            return self._encoders[name](command)
        except Refused as refused:
            return Refusal(name, refused.reason)
        except BadDefinition:
            return Refusal(name, Reason.MALFORMED)

    def _order(self, command: Command) -> list[Encoded]:
        account = fields.account(command)
        instrument = self._instrument_named(command)
        side = fields.choice(command, "side", Side, Reason.INVALID_SIDE)
        order_type = fields.choice(command, "order_type", OrderType, Reason.INVALID_ORDER_TYPE)
        is_priced = order_type in PRICED_TYPES
        default = TimeInForce.GTC if is_priced else TimeInForce.IOC
        time_in_force = fields.choice(command, "time_in_force", TimeInForce, Reason.INVALID_TIME_IN_FORCE, default)
        if not is_priced and time_in_force != TimeInForce.IOC:
            raise Refused(Reason.INVALID_TIME_IN_FORCE)
        rests = order_type == OrderType.LIMIT and time_in_force == TimeInForce.GTC
        post_only = fields.flag(command, "post_only")
        if post_only and not rests:
            raise Refused(Reason.INVALID_TIME_IN_FORCE)
        prevention = fields.self_trade_prevention(command)
        text = fields.name(command, "client_order_id")
        requires_previous = fields.flag(command, "requires_previous")
        by_quote = fields.is_given(command, "quote_quantity")
        if by_quote and (order_type != OrderType.MARKET or fields.is_given(command, "quantity")):
            raise Refused(Reason.INVALID_QUANTITY)
        price = fields.units_if(is_priced, command, "price", instrument.tick, Reason.INVALID_PRICE)
        waits = order_type in TRIGGER_TYPES
        amount = fields.units_if(waits, command, "trigger_price", instrument.tick, Reason.INVALID_PRICE)
        quantity = 0
        if by_quote:
            amount = fields.units(command, "quote_quantity", instrument.quote.unit, Reason.INVALID_QUANTITY)
        else:
            quantity = fields.units(command, "quantity", instrument.lot, Reason.INVALID_QUANTITY)
        if fields.is_given(command, "visible_quantity"):
            visible = fields.units_if(rests, command, "visible_quantity", instrument.lot, Reason.INVALID_QUANTITY)
            amount = visible or _REFUSED_ZERO
        return [
            Encoded(
                kind=CommandKind.ORDER,
                instrument=instrument.id,
                text=text,
                side=side,
                order_type=order_type,
                time_in_force=time_in_force,
                self_trade_prevention=prevention,
                flags=_flags(POST_ONLY=post_only, REQUIRES_PREVIOUS=requires_previous),
                account=account,
                price=price,
                quantity=quantity,
                amount=amount,
            )
        ]

    def _oco(self, command: Command) -> list[Encoded]:
        """The limit leg and the stop leg."""
        account = fields.account(command)
        instrument = self._instrument_named(command)
        side = fields.choice(command, "side", Side, Reason.INVALID_SIDE)
        has_price = fields.is_given(command, "stop_price")
        default = TimeInForce.GTC if has_price else TimeInForce.IOC
        unknown = Reason.INVALID_TIME_IN_FORCE
        time_in_force = fields.choice(command, "stop_time_in_force", TimeInForce, unknown, default)
        if not has_price and fields.is_given(command, "stop_time_in_force"):
            raise Refused(Reason.INVALID_TIME_IN_FORCE)
        prevention = fields.self_trade_prevention(command)
        names = ("client_order_id", "stop_client_order_id", "list_client_order_id")
        limit_name, stop_name, list_name = (fields.name(command, name) for name in names)
        requires_previous = fields.flag(command, "requires_previous")
        price, trigger_price = (
            fields.units(command, name, instrument.tick, Reason.INVALID_PRICE) for name in ("price", "trigger_price")
        )
        stop_price = fields.units_if(has_price, command, "stop_price", instrument.tick, Reason.INVALID_PRICE)
        limit = Encoded(
            kind=CommandKind.OCO,
            instrument=instrument.id,
            text=joined(limit_name, list_name),
            side=side,
            self_trade_prevention=prevention,
            flags=_flags(POST_ONLY=True, REQUIRES_PREVIOUS=requires_previous),
            account=account,
            price=price,
            quantity=fields.units(command, "quantity", instrument.lot, Reason.INVALID_QUANTITY),
        )
        stop = limit.stop_leg(
            name=stop_name,
            order_type=OrderType.STOP_LOSS_LIMIT if has_price else OrderType.STOP_LOSS,
            time_in_force=time_in_force,
            price=stop_price,
            trigger_price=trigger_price,
        )
        return [limit, stop]

    def _cancel(self, command: Command) -> list[Encoded]:
        account = fields.account(command)
        instrument = self._instrument_named(command)
        order_id, name = fields.named_order(command)
        text = joined(name, fields.name(command, "request_id"))
        return [Encoded(CommandKind.CANCEL, instrument.id, text, account=account, order_id=order_id)]

    def _replace(self, command: Command) -> list[Encoded]:
        account = fields.account(command)
        instrument = self._instrument_named(command)
        order_id, name = fields.named_order(command)
        new_name = fields.name(command, "new_client_order_id")
        price = fields.units(command, "price", instrument.tick, Reason.INVALID_PRICE)
        is_total = fields.is_given(command, "total_quantity")
        if is_total and fields.is_given(command, "quantity"):
            raise Refused(Reason.INVALID_QUANTITY)
        quantity = "total_quantity" if is_total else "quantity"
        return [
            Encoded(
                CommandKind.REPLACE,
                instrument.id,
                joined(name, new_name),
                flags=_flags(TOTAL_QUANTITY=is_total, NEW_NAME=bool(new_name)),
                account=account,
                price=price,
                quantity=fields.units(command, quantity, instrument.lot, Reason.INVALID_QUANTITY),
                amount=signed(text_hash(new_name.encode("ascii"))),
                order_id=order_id,
            )
        ]

    def _cancel_all(self, command: Command) -> list[Encoded]:
        account = fields.account(command)
        return [Encoded(CommandKind.CANCEL_ALL, self._instrument_or_all(command), account=account)]

    def _funding(self, command: Command) -> list[Encoded]:
        account = fields.account(command)
        symbol = command.get("asset")
        if not isinstance(symbol, str):
            raise Refused(Reason.MALFORMED)
        asset = self.registry.asset_by_symbol.get(symbol)
        if asset is None:
            raise Refused(Reason.UNKNOWN_ASSET)
        amount = fields.units(command, "amount", asset.unit, Reason.INVALID_AMOUNT)
        text = fields.text(command, "reference", MAX_REFERENCE_LENGTH)
        kind = CommandKind.DEPOSIT if command["command"] == "deposit" else CommandKind.WITHDRAW
        return [Encoded(kind, asset.id, text, account=account, amount=amount)]

    def _asset(self, command: Command) -> list[Encoded]:
        asset = self.registry.asset_from(command)
        return [Encoded(CommandKind.ASSET, 0, canonical(asset.definition()))]

    def _instrument(self, command: Command) -> list[Encoded]:
        try:
            instrument = self.registry.instrument_from(command)
        except KeyError as error:
            raise Refused(Reason.UNKNOWN_ASSET) from error
        # Refused only here, because blocks of earlier versions may define an instrument that can never be traded.
        if max(instrument.lot_units, instrument.quote_unit) > AMOUNT_LIMIT:
            raise Refused(Reason.MALFORMED)
        return [Encoded(CommandKind.INSTRUMENT, 0, canonical(instrument.definition()))]

    def _instrument_status(self, command: Command) -> list[Encoded]:
        instrument = self._instrument_named(command)
        status = status_named(command.get("status"))
        definition = {"command": "instrument_status", "symbol": instrument.symbol, "status": name_of(status)}
        return [Encoded(CommandKind.INSTRUMENT_STATUS, instrument.id, canonical(definition))]

    def _instrument_update(self, command: Command) -> list[Encoded]:
        instrument = self._instrument_named(command)
        names = [name_of(value) for value in InstrumentValue]
        values = {name: instrument.value(name, command[name]) for name in names if fields.is_given(command, name)}
        if not values:
            raise Refused(Reason.MALFORMED)
        return [
            Encoded(
                CommandKind.INSTRUMENT_UPDATE,
                instrument.id,
                flags=sum(int(value) for value in InstrumentValue if name_of(value) in values),
                account=values.get("maker_fee", 0) | values.get("taker_fee", 0) << 32,
                price=values.get("price_band", 0) | values.get("max_open_orders", 0) << 32,
                quantity=values.get("min_quantity", 0),
                amount=values.get("max_quantity", 0),
                order_id=values.get("min_notional", 0),
            )
        ]

    def _account_status(self, command: Command) -> list[Encoded]:
        account = fields.account(command)
        status = fields.choice(command, "status", AccountStatus, Reason.MALFORMED)
        return [Encoded(CommandKind.ACCOUNT_STATUS, NONE_ID, side=status, account=account)]

    def _account_fees(self, command: Command) -> list[Encoded]:
        account = fields.account(command)
        instrument = self._instrument_or_all(command)
        names = [name for name in ("maker_fee", "taker_fee") if fields.is_given(command, name)]
        if len(names) == 1:
            raise Refused(Reason.MALFORMED)
        maker_fee, taker_fee = (fee(name, command[name]) for name in names) if names else (NO_FEE, NO_FEE)
        return [Encoded(CommandKind.ACCOUNT_FEES, instrument, account=account, price=maker_fee, quantity=taker_fee)]

    def _instrument_named(self, command: Command) -> Instrument:
        symbol = command.get("symbol")
        if not isinstance(symbol, str):
            raise Refused(Reason.MALFORMED)
        instrument = self.registry.instrument_by_symbol.get(symbol)
        if instrument is None:
            raise Refused(Reason.UNKNOWN_SYMBOL)
        return instrument

    def _instrument_or_all(self, command: Command) -> int:
        return self._instrument_named(command).id if fields.is_given(command, "symbol") else NONE_ID


def _flags(**given: bool) -> int:
    return sum(int(CommandFlag[name]) for name, is_set in given.items() if is_set)


def joined(first: str, second: str) -> str:
    """The strings of a command that can have two; `second`: "" if it has one."""
    return f"{first}{SEPARATOR.decode('ascii')}{second}" if second else first


class BatchBuilder:
    """Collects commands for one message to the engine.

    `previous_refused`: the edge refused the command before the next one, or there is none, so that the next one is
    refused if it requires it. It stays when a batch is taken.
    """

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._rows: list[tuple[int, ...]] = []
        self._texts: list[bytes] = []
        self._text_size = 0
        self.previous_refused = True
        self.ends_block = False
        """A command on reference data was added: send the batch and update the registry before the next command."""

    def __len__(self) -> int:
        """The number of records. An oco has two."""
        return len(self._rows)

    def add(self, command: object) -> Refusal | None:
        """Adds a command, or returns why it is refused."""
        return self.add_encoded(self._edge.encode(command))

    def add_encoded(self, encoded: list[Encoded] | Refusal) -> Refusal | None:
        """Adds what `Edge.encode` gave."""
        if isinstance(encoded, Refusal):
            self.previous_refused = True
            return encoded
        for one in encoded:
            self._add_record(one)
        self.previous_refused = False
        return None

    def _add_record(self, encoded: Encoded) -> None:
        text = encoded.text.encode("ascii")
        flags = encoded.flags
        if self.previous_refused and encoded.kind in _MAY_REQUIRE and flags & CommandFlag.REQUIRES_PREVIOUS:
            flags |= CommandFlag.PREVIOUS_REFUSED
        self._rows.append(
            (
                encoded.kind,
                encoded.side,
                encoded.order_type,
                encoded.time_in_force,
                encoded.self_trade_prevention,
                flags,
                len(text),
                encoded.instrument,
                self._text_size,
                encoded.account,
                encoded.price,
                encoded.quantity,
                encoded.amount,
                encoded.order_id,
                text_hash(text.partition(SEPARATOR)[0]),
            )
        )
        self._texts.append(text)
        self._text_size += len(text)
        self.ends_block = self.ends_block or bool(is_definition(encoded.kind))

    def take(self) -> tuple[Records, bytes]:
        """Returns COMMAND[n] and their strings, and empties the builder."""
        commands = np.array(self._rows, layout.COMMAND)
        texts = b"".join(self._texts)
        self._rows, self._texts, self._text_size, self.ends_block = [], [], 0, False
        return commands, texts
