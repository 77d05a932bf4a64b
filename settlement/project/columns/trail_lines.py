"""The lines of the CSV trail for columns of trades, without a Python object for each of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ledger.api import compiled, inlined
from matching.core.decimals import INT64_MAX
from matching.core.registry import Registry
from settlement.stores.base import Trade
from settlement.stores.base.columns import ColumnTable, Integers, Words
from settlement.stores.base.text_writing import SOURCE, Characters, pieces_of, put_number, put_piece

DECIMALS = ("price", "quantity", "buyer_fee", "seller_fee")
"""The columns with decimals, each of a unit of its own."""

_NUMBERS = ("trade_id", *DECIMALS, "maker_order_id", "taker_order_id", "buyer", "seller", "block_number")
_ID, _PRICE, _QUANTITY, _BUYER_FEE, _SELLER_FEE, _MAKER, _TAKER, _BUYER, _SELLER, _BLOCK = range(len(_NUMBERS))
_MOST_SCALE = 40
"""More than the decimals of any unit: price and quantity have at most 18, as assets do."""
_LINE_CHARACTERS = len(_NUMBERS) * 24 + len(DECIMALS) * _MOST_SCALE
"""More than the numbers of a line and its commas have."""

_COMMA, _LINE_END, _POINT, _MINUS, _ZERO = (ord(character) for character in ",\n.-0")
_compiled = compiled(Path(__file__), SOURCE)


def text_of(trades: ColumnTable[Trade], times: Sequence[str], times_of: Integers, registry: Registry) -> bytes | None:
    """The lines with their ends. `times`: texts, and `times_of`: the one of each trade.

    None if a decimal is of a size that only Python's integers can hold.
    """
    symbols: Words = trades.column("symbol")
    sides: Words = trades.column("taker_side")
    found = [registry.instrument_by_symbol.get(str(symbol)) for symbol in symbols.texts]
    units = [one and (one.tick, one.lot, one.base.unit, one.quote.unit) for one in found]
    mantissas = np.array([[unit.mantissa for unit in of] if of else [0] * 4 for of in units], object).reshape(-1, 4)
    scales = np.array([[unit.scale for unit in of] if of else [0] * 4 for of in units], np.int64).reshape(-1, 4)
    numbers = np.array([trades.column(name).array for name in _NUMBERS], np.int64)
    largest = int(np.abs(numbers[_PRICE : _SELLER_FEE + 1]).max(initial=0))
    is_small = largest >= 0 and max(1, largest) * mantissas.max(initial=0) <= INT64_MAX  # abs of the lowest is negative
    if not is_small or scales.max(initial=0) > _MOST_SCALE:
        return None
    before = pieces_of([f",{symbol}," for symbol in symbols.texts])
    bases = pieces_of([f",{one.base.symbol}," if one else "" for one in found])
    quotes = pieces_of([f",{one.quote.symbol}," if one else "" for one in found])
    side_texts = pieces_of([f",{side}," for side in sides.texts])
    time_texts = pieces_of([f",{time}" for time in times])
    longest = before.longest + bases.longest + quotes.longest + side_texts.longest + time_texts.longest
    out = np.empty(len(trades) * (_LINE_CHARACTERS + longest), np.uint8)
    end = _write(
        numbers,
        np.ascontiguousarray(symbols.codes, np.int64),
        np.ascontiguousarray(sides.codes, np.int64),
        times_of,
        np.ascontiguousarray(mantissas, np.int64),
        scales,
        before[:2],
        bases[:2],
        quotes[:2],
        side_texts[:2],
        time_texts[:2],
        out,
    )
    return out[:end].tobytes()


_Texts = tuple[Characters, Integers]


@_compiled
def _write(
    numbers: Integers,
    symbols: Integers,
    sides: Integers,
    times_of: Integers,
    mantissas: Integers,
    scales: Integers,
    before: _Texts,
    bases: _Texts,
    quotes: _Texts,
    side_texts: _Texts,
    time_texts: _Texts,
    out: Characters,
) -> int:
    at = 0
    for place in range(len(symbols)):
        symbol = symbols[place]
        at = put_number(out, at, numbers[_ID, place])
        at = put_piece(out, at, time_texts[0], time_texts[1], times_of[place])
        at = put_piece(out, at, before[0], before[1], symbol)
        at = _put_decimal(out, at, numbers[_PRICE, place] * mantissas[symbol, 0], scales[symbol, 0])
        out[at] = _COMMA
        at = _put_decimal(out, at + 1, numbers[_QUANTITY, place] * mantissas[symbol, 1], scales[symbol, 1])
        at = put_piece(out, at, side_texts[0], side_texts[1], sides[place])
        for column in range(_MAKER, _BLOCK):
            at = put_number(out, at, numbers[column, place])
            out[at] = _COMMA
            at += 1
        at = _put_decimal(out, at, numbers[_BUYER_FEE, place] * mantissas[symbol, 2], scales[symbol, 2])
        at = put_piece(out, at, bases[0], bases[1], symbol)
        at = _put_decimal(out, at, numbers[_SELLER_FEE, place] * mantissas[symbol, 3], scales[symbol, 3])
        at = put_piece(out, at, quotes[0], quotes[1], symbol)
        at = put_number(out, at, numbers[_BLOCK, place])
        out[at] = _LINE_END
        at += 1
    return at


@inlined
def _put_decimal(out: Characters, at: int, digits: int, scale: int) -> int:
    """As `matching.core.decimals.plain`: the shortest form of digits × 10^-scale. Returns where it ends."""
    if digits < 0:
        out[at] = _MINUS
        at += 1
        digits = -digits
    while scale > 0 and digits % 10 == 0:
        digits //= 10
        scale -= 1
    if scale == 0:
        return put_number(out, at, digits)
    length = 1
    left = digits // 10
    while left > 0:
        left //= 10
        length += 1
    length = max(length, scale + 1)
    place = at + length  # one more than the digits, for the point
    for done in range(length):
        if done == scale:
            out[place] = _POINT
            place -= 1
        out[place] = _ZERO + digits % 10
        digits //= 10
        place -= 1
    return at + length + 1
