"""Reads the commands of operators, deposits and withdrawals; fields in the order of docs/semantics.md, section 4."""

from fractions import Fraction

from tests.reference import plain_decimal
from tests.reference.commands import (
    AddAsset,
    AddInstrument,
    Asset,
    Command,
    Deposit,
    Instrument,
    SetAccountFees,
    SetAccountStatus,
    SetStatus,
    UpdateInstrument,
    Withdraw,
)
from tests.reference.fields import Fields, Refused
from tests.reference.limits import NOTIONAL_LIMIT
from tests.reference.words import ACCOUNT_STATUSES, STATUSES

HIGHEST_FEE_PPM = 999_999
HIGHEST_BAND_PPM = 999_999
MOST_OPEN_ORDERS = 1_000_000


def read_asset(fields: Fields) -> Command:
    return AddAsset(Asset(symbol=fields.new_symbol(), decimals=fields.integer("decimals", 0, 18)))


def read_instrument(fields: Fields) -> Command:
    """Every error in a definition is malformed, except an unknown asset, which has its own reason."""
    symbol, base, quote = fields.new_symbol(), fields.asset("base"), fields.asset("quote")
    tick_size, lot_size = fields.decimal("tick_size"), fields.decimal("lot_size")
    lot_units = plain_decimal.steps(lot_size, base.unit)
    quote_unit = plain_decimal.steps(tick_size * lot_size, quote.unit)
    if base == quote or not _is_tradable(lot_units) or not _is_tradable(quote_unit):
        raise Refused("malformed")
    assert lot_units is not None
    assert quote_unit is not None
    changeable = {"price_band": 0, "max_open_orders": 0}
    for name in ("min_quantity", "max_quantity", "min_notional", "maker_fee", "taker_fee"):
        changeable[name] = _read_changeable(fields, name, lot_size, quote)
    for name in ("price_band", "max_open_orders"):
        if fields.given(name):
            changeable[name] = _read_changeable(fields, name, lot_size, quote)
    if changeable["min_quantity"] > changeable["max_quantity"]:
        raise Refused("malformed")
    return AddInstrument(
        Instrument(
            symbol=symbol,
            base=base,
            quote=quote,
            tick_size=tick_size,
            lot_size=lot_size,
            lot_units=lot_units,
            quote_unit=quote_unit,
            **changeable,
        )
    )


def read_update(fields: Fields) -> Command:
    instrument = fields.instrument()
    changes = {
        name: _read_changeable(fields, name, instrument.lot_size, instrument.quote)
        for name in _HIGHEST_INTEGERS.keys() | {"min_quantity", "max_quantity", "min_notional"}
        if fields.given(name)
    }
    if not changes:
        raise Refused("malformed")
    return UpdateInstrument(instrument.symbol, changes)


_HIGHEST_INTEGERS = {
    "maker_fee": HIGHEST_FEE_PPM,
    "taker_fee": HIGHEST_FEE_PPM,
    "price_band": HIGHEST_BAND_PPM,
    "max_open_orders": MOST_OPEN_ORDERS,
}


def _read_changeable(fields: Fields, name: str, lot_size: Fraction, quote: Asset) -> int:
    """A field of an instrument that `instrument_update` can change: ppm or a count, lots, or quote units."""
    if name in _HIGHEST_INTEGERS:
        return fields.integer(name, 0, _HIGHEST_INTEGERS[name])
    lowest, step = (0, quote.unit) if name == "min_notional" else (1, lot_size)
    count = fields.steps(name, step, "malformed")
    if count < lowest:
        raise Refused("malformed")
    return count


def _is_tradable(units: int | None) -> bool:
    """Whether one lot at a price of one tick stays within what an order may be worth."""
    return units is not None and 1 <= units <= NOTIONAL_LIMIT


def read_status(fields: Fields) -> Command:
    return SetStatus(symbol=fields.instrument().symbol, status=fields.choice("status", STATUSES, "malformed"))


def read_account_status(fields: Fields) -> Command:
    return SetAccountStatus(fields.account(), fields.choice("status", ACCOUNT_STATUSES, "malformed"))


def read_account_fees(fields: Fields) -> Command:
    account = fields.account()
    symbol = fields.instrument().symbol if fields.given("symbol") else None
    if not fields.given("maker_fee") and not fields.given("taker_fee"):
        return SetAccountFees(account, symbol, None)
    maker_fee, taker_fee = (fields.integer(name, 0, HIGHEST_FEE_PPM) for name in ("maker_fee", "taker_fee"))
    return SetAccountFees(account, symbol, (maker_fee, taker_fee))


def read_deposit(fields: Fields) -> Command:
    account, asset = fields.account(), fields.asset("asset")
    amount = fields.steps("amount", asset.unit, "invalid_amount")
    return Deposit(account, asset, amount, fields.text("reference", 64))


def read_withdraw(fields: Fields) -> Command:
    account, asset = fields.account(), fields.asset("asset")
    amount = fields.steps("amount", asset.unit, "invalid_amount")
    return Withdraw(account, asset, amount, fields.text("reference", 64))
