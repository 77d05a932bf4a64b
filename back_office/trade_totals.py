"""What an account's trades come to, for each instrument."""

from collections.abc import Iterable
from dataclasses import dataclass

from back_office.formats import Figure, ReferenceData
from matching.core.registry import Instrument
from settlement.stores.base import Trade


@dataclass(slots=True)
class _Sums:
    """Lots, and units of the base and the quote asset."""

    trades: int = 0
    bought: int = 0
    paid: int = 0
    sold: int = 0
    received: int = 0
    base_fees: int = 0
    quote_fees: int = 0


@dataclass(frozen=True, slots=True)
class TotalRow:
    """`paid` and `received` are before fees. A trade of the account with itself is on both sides, and counted once."""

    symbol: str
    base: str
    quote: str
    trades: int
    bought: Figure
    paid: Figure
    sold: Figure
    received: Figure
    base_fees: Figure
    quote_fees: Figure


def totals(trades: Iterable[Trade], account: int, side: str | None, reference: ReferenceData) -> list[TotalRow]:
    """By symbol. `side`: "buy" or "sell" of the account, None: both. Trades of unknown instruments are left out."""
    sums: dict[str, _Sums] = {}
    for trade in trades:
        instrument = reference.instrument(trade.symbol)
        if instrument is not None:
            _add(sums.setdefault(trade.symbol, _Sums()), trade, account, side, instrument)
    return [_row(symbol, sums[symbol], reference) for symbol in sorted(sums)]


def _add(sums: _Sums, trade: Trade, account: int, side: str | None, instrument: Instrument) -> None:
    notional = trade.price * trade.quantity * instrument.quote_unit
    sums.trades += 1
    if trade.buyer == account and side != "sell":
        sums.bought += trade.quantity
        sums.paid += notional
        sums.base_fees += trade.buyer_fee
    if trade.seller == account and side != "buy":
        sums.sold += trade.quantity
        sums.received += notional
        sums.quote_fees += trade.seller_fee


def _row(symbol: str, sums: _Sums, reference: ReferenceData) -> TotalRow:
    instrument = reference.instrument(symbol)
    assert instrument is not None, "its trades were added"
    base, quote = instrument.base.symbol, instrument.quote.symbol
    return TotalRow(
        symbol=symbol,
        base=base,
        quote=quote,
        trades=sums.trades,
        bought=reference.quantity(symbol, sums.bought),
        paid=reference.amount(quote, sums.paid),
        sold=reference.quantity(symbol, sums.sold),
        received=reference.amount(quote, sums.received),
        base_fees=reference.amount(base, sums.base_fees),
        quote_fees=reference.amount(quote, sums.quote_fees),
    )
