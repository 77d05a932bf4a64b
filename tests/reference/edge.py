"""The reference edge: converts a parsed JSON value to a command, or refuses it before it takes a sequence number.

Fields are checked one by one, in the order of docs/semantics.md, section 4; the first invalid one gives the reason.
An optional field that is null counts as not given, because events write null for a missing value. Fields that a command
does not know are ignored.
"""

import json
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NoReturn

from tests.reference import plain_decimal
from tests.reference.admission import NOTIONAL_LIMIT
from tests.reference.commands import (
    AddAsset,
    AddInstrument,
    Asset,
    Cancel,
    CancelAll,
    Command,
    Deposit,
    Instrument,
    PlaceOrder,
    Replace,
    SetStatus,
    Withdraw,
)

NOT_JSON = (
    "this line is no JSON"  # represents an invalid line; refused as malformed, as any value that is not an object
)

SIDES = ("buy", "sell")
ORDER_TYPES = ("limit", "market")
TIMES_IN_FORCE = ("gtc", "ioc", "fok")
SELF_TRADE_MODES = ("none", "expire_taker", "expire_maker", "expire_both")
STATUSES = ("trading", "cancel_only", "halted")
HIGHEST_FEE_PPM = 999_999

_SYMBOL = re.compile(r"[A-Z0-9._-]{1,32}")
_LONGEST_JSON_INTEGER = 100


class Refused(Exception):
    """A refusal at the edge: the command takes no sequence number; `reason` is the code of the answer."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def parse_line(text: str) -> object:
    """The JSON value of a line; `NOT_JSON` if it is not JSON (NaN and Infinity are not either)."""
    try:
        value: object = json.loads(text, parse_int=_parse_integer, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return NOT_JSON
    return value


def _parse_integer(digits: str) -> int | float:
    # Python refuses integers of thousands of digits. A float is refused wherever an integer is required.
    return int(digits) if len(digits) <= _LONGEST_JSON_INTEGER else float("inf")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def command_name(value: object) -> str | None:
    """The command's name for a refusal, None for unknown commands."""
    name = value.get("command") if isinstance(value, dict) else None
    return name if isinstance(name, str) and name in _READERS else None


class Edge:
    """Converts commands; knows assets and instruments by symbol, which the engine registers."""

    def __init__(self) -> None:
        self.assets: dict[str, Asset] = {}
        self.instruments: dict[str, Instrument] = {}

    def read(self, value: object) -> Command:
        """Raises `Refused`."""
        name = command_name(value)
        if name is None or not isinstance(value, dict):
            raise Refused("malformed")
        return _READERS[name](Fields(value, self))


class Fields:
    """Reads and validates the fields of one command."""

    def __init__(self, values: dict[str, Any], edge: Edge) -> None:
        self.values = values
        self.edge = edge

    def given(self, name: str) -> bool:
        return self.values.get(name) is not None

    def integer(self, name: str, lowest: int, highest: int) -> int:
        value = self.values.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
            raise Refused("malformed")
        return value

    def text(self, name: str, longest: int) -> str:
        value = self.values.get(name)
        if not isinstance(value, str) or not 1 <= len(value) <= longest or not _is_printable_ascii(value):
            raise Refused("malformed")
        return value

    def choice(self, name: str, choices: tuple[str, ...], unknown: str) -> str:
        """One of `choices`. `unknown`: reason for another string; a value of another type is malformed."""
        value = self.values.get(name)
        if not isinstance(value, str):
            raise Refused("malformed")
        if value not in choices:
            raise Refused(unknown)
        return value

    def boolean(self, name: str) -> bool:
        value = self.values.get(name)
        if not isinstance(value, bool):
            raise Refused("malformed")
        return value

    def decimal(self, name: str) -> Fraction:
        value = plain_decimal.parse(self.values.get(name))
        if value is None:
            raise Refused("malformed")
        return value

    def steps(self, name: str, step: Fraction, unfit: str) -> int:
        """A decimal as a number of ticks, lots or units; `unfit`: reason if that is not an int64."""
        count = plain_decimal.steps(self.decimal(name), step)
        if count is None:
            raise Refused(unfit)
        return count

    def new_symbol(self) -> str:
        value = self.values.get("symbol")
        if not isinstance(value, str) or not _SYMBOL.fullmatch(value):
            raise Refused("malformed")
        return value

    def account(self) -> int:
        return self.integer("account", 0, plain_decimal.INT64_MAX)

    def asset(self, name: str) -> Asset:
        return self.edge.assets[self.choice(name, tuple(self.edge.assets), "unknown_asset")]

    def instrument(self) -> Instrument:
        return self.edge.instruments[self.choice("symbol", tuple(self.edge.instruments), "unknown_symbol")]

    def client_order_id(self) -> str | None:
        return self.text("client_order_id", 36) if self.given("client_order_id") else None

    def order_name(self) -> tuple[int | None, str | None]:
        """(order_id, client_order_id): exactly one of them."""
        if self.given("order_id") == self.given("client_order_id"):
            raise Refused("malformed")
        if self.given("order_id"):
            return self.integer("order_id", 1, plain_decimal.INT64_MAX), None
        return None, self.client_order_id()


def _is_printable_ascii(text: str) -> bool:
    return all(" " <= character <= "~" for character in text)


def _read_asset(fields: Fields) -> Command:
    return AddAsset(Asset(symbol=fields.new_symbol(), decimals=fields.integer("decimals", 0, 18)))


def _read_instrument(fields: Fields) -> Command:
    """Every error in a definition is malformed, except an unknown asset, which has its own reason."""
    symbol, base, quote = fields.new_symbol(), fields.asset("base"), fields.asset("quote")
    tick_size, lot_size = fields.decimal("tick_size"), fields.decimal("lot_size")
    lot_units = plain_decimal.steps(lot_size, base.unit)
    quote_unit = plain_decimal.steps(tick_size * lot_size, quote.unit)
    if base == quote or not _is_tradable(lot_units) or not _is_tradable(quote_unit):
        raise Refused("malformed")
    assert lot_units is not None
    assert quote_unit is not None
    instrument = Instrument(
        symbol=symbol,
        base=base,
        quote=quote,
        tick_size=tick_size,
        lot_size=lot_size,
        lot_units=lot_units,
        quote_unit=quote_unit,
        min_quantity=fields.steps("min_quantity", lot_size, "malformed"),
        max_quantity=fields.steps("max_quantity", lot_size, "malformed"),
        min_notional=fields.steps("min_notional", quote.unit, "malformed"),
        maker_fee=fields.integer("maker_fee", 0, HIGHEST_FEE_PPM),
        taker_fee=fields.integer("taker_fee", 0, HIGHEST_FEE_PPM),
    )
    if not 1 <= instrument.min_quantity <= instrument.max_quantity or instrument.min_notional < 0:
        raise Refused("malformed")
    return AddInstrument(instrument)


def _is_tradable(units: int | None) -> bool:
    """Whether one lot at a price of one tick stays within what an order may be worth."""
    return units is not None and 1 <= units <= NOTIONAL_LIMIT


def _read_status(fields: Fields) -> Command:
    return SetStatus(symbol=fields.instrument().symbol, status=fields.choice("status", STATUSES, "malformed"))


def _read_deposit(fields: Fields) -> Command:
    account, asset = fields.account(), fields.asset("asset")
    amount = fields.steps("amount", asset.unit, "invalid_amount")
    return Deposit(account, asset, amount, fields.text("reference", 64))


def _read_withdraw(fields: Fields) -> Command:
    account, asset = fields.account(), fields.asset("asset")
    amount = fields.steps("amount", asset.unit, "invalid_amount")
    return Withdraw(account, asset, amount, fields.text("reference", 64))


def _read_order(fields: Fields) -> Command:
    account, instrument = fields.account(), fields.instrument()
    side = fields.choice("side", SIDES, "invalid_side")
    order_type = fields.choice("order_type", ORDER_TYPES, "invalid_order_type")
    time_in_force, post_only = _read_time_in_force(fields, order_type)
    mode = "expire_taker"
    if fields.given("self_trade_prevention"):
        mode = fields.choice("self_trade_prevention", SELF_TRADE_MODES, "malformed")
    client_order_id = fields.client_order_id()
    by_quote = _read_is_by_quote(fields, side, order_type)
    price = _read_order_price(fields, instrument, order_type)
    return PlaceOrder(
        account=account,
        instrument=instrument,
        side=side,
        order_type=order_type,
        price=price,
        quantity=None if by_quote else fields.steps("quantity", instrument.lot_size, "invalid_quantity"),
        quote_quantity=fields.steps("quote_quantity", instrument.quote.unit, "invalid_quantity") if by_quote else None,
        time_in_force=time_in_force,
        post_only=post_only,
        self_trade_prevention=mode,
        client_order_id=client_order_id,
    )


def _read_time_in_force(fields: Fields, order_type: str) -> tuple[str, bool]:
    time_in_force = "gtc" if order_type == "limit" else "ioc"
    if fields.given("time_in_force"):
        allowed = TIMES_IN_FORCE if order_type == "limit" else ("ioc",)
        time_in_force = fields.choice("time_in_force", allowed, "invalid_time_in_force")
    post_only = fields.boolean("post_only") if fields.given("post_only") else False
    if post_only and time_in_force != "gtc":
        raise Refused("invalid_time_in_force")
    return time_in_force, post_only


def _read_is_by_quote(fields: Fields, side: str, order_type: str) -> bool:
    if not fields.given("quote_quantity"):
        return False
    if order_type != "market" or side != "buy" or fields.given("quantity"):
        raise Refused("invalid_quantity")
    return True


def _read_order_price(fields: Fields, instrument: Instrument, order_type: str) -> int | None:
    if order_type == "limit":
        return fields.steps("price", instrument.tick_size, "invalid_price")
    if fields.given("price"):
        raise Refused("invalid_price")
    return None


def _read_cancel(fields: Fields) -> Command:
    account, instrument = fields.account(), fields.instrument()
    order_id, client_order_id = fields.order_name()
    return Cancel(account, instrument.symbol, order_id, client_order_id)


def _read_cancel_all(fields: Fields) -> Command:
    account = fields.account()
    return CancelAll(account, fields.instrument().symbol if fields.given("symbol") else None)


def _read_replace(fields: Fields) -> Command:
    account, instrument = fields.account(), fields.instrument()
    order_id, client_order_id = fields.order_name()
    price = fields.steps("price", instrument.tick_size, "invalid_price")
    quantity = fields.steps("quantity", instrument.lot_size, "invalid_quantity")
    return Replace(account, instrument.symbol, order_id, client_order_id, price, quantity)


_READERS: dict[str, Callable[[Fields], Command]] = {
    "asset": _read_asset,
    "instrument": _read_instrument,
    "instrument_status": _read_status,
    "deposit": _read_deposit,
    "withdraw": _read_withdraw,
    "order": _read_order,
    "cancel": _read_cancel,
    "cancel_all": _read_cancel_all,
    "replace": _read_replace,
}
