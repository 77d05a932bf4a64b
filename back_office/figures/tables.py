"""The figures of the analytics pages: their columns, with units turned into exact decimals."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from back_office.figures.charts import DAYS, Point
from back_office.formats import Figure, ReferenceData

Row = Mapping[str, Any]
Write = Callable[[Row, str, ReferenceData], object]
"""Writes the value of a row's column; the value is not None."""

_NS = 10**9


def _bucket(row: Row, name: str, reference: ReferenceData) -> str:
    return f"{datetime.fromtimestamp(row[name] // _NS, UTC):%Y-%m-%d %H:%M}".removesuffix(" 00:00")


def _plain(row: Row, name: str, reference: ReferenceData) -> object:
    return row[name]


def _lots(row: Row, name: str, reference: ReferenceData) -> Figure:
    return reference.quantity(row["symbol"], row[name])


def _price(row: Row, name: str, reference: ReferenceData) -> Figure:
    return reference.price(row["symbol"], row[name])


def _quote(row: Row, name: str, reference: ReferenceData) -> str:
    asset = row.get("quote") or _asset(row, reference, is_base=False)
    return f"{reference.amount(asset, row[name]).text} {asset}"


def _base(row: Row, name: str, reference: ReferenceData) -> str:
    asset = _asset(row, reference, is_base=True)
    return f"{reference.amount(asset, row[name]).text} {asset}"


def _asset(row: Row, reference: ReferenceData, *, is_base: bool) -> str:
    instrument = reference.instrument(row["symbol"])
    if instrument is None:
        return ""
    return (instrument.base if is_base else instrument.quote).symbol


def _decimal(row: Row, name: str, reference: ReferenceData) -> str:
    """A ratio or a mean, which is not exact."""
    return f"{row[name]:,.4g}" if abs(row[name]) < 1000 else f"{row[name]:,.0f}"


def _weekday(row: Row, name: str, reference: ReferenceData) -> str:
    return DAYS[row[name]]


def _percent(row: Row, name: str, reference: ReferenceData) -> str:
    return f"{row[name] * 100:.1f} %"


@dataclass(frozen=True, slots=True)
class Column:
    name: str  # of the query
    title: str
    write: Write
    is_number: bool = True

    def cell(self, row: Row, reference: ReferenceData) -> object:
        return "" if row[self.name] is None else self.write(row, self.name, reference)


@dataclass(frozen=True, slots=True)
class MarketFigure:
    """A named query on a page."""

    name: str  # of the query
    title: str
    columns: tuple[Column, ...]
    charted: str = ""  # the column of the chart
    is_about_accounts: bool = False

    @property
    def has_buckets(self) -> bool:
        return self.columns[0].name == "bucket_ns"

    @property
    def has_instruments(self) -> bool:
        return any(column.name == "symbol" for column in self.columns)

    def points(self, rows: list[Row], reference: ReferenceData) -> list[Point]:
        """Of the chart; `rows` are of one instrument."""
        column = next(column for column in self.columns if column.name == self.charted)
        return [
            Point(
                _bucket(row, "bucket_ns", reference),
                None if row[column.name] is None else float(row[column.name]),
                str(column.write(row, column.name, reference)) if row[column.name] is not None else "",
            )
            for row in rows
        ]


_TIME = Column("bucket_ns", "From (UTC)", _bucket, is_number=False)
_SYMBOL = Column("symbol", "Instrument", _plain, is_number=False)

FIGURES: tuple[MarketFigure, ...] = (
    MarketFigure(
        "volume",
        "Volume",
        (
            _TIME,
            _SYMBOL,
            Column("trades", "Trades", _plain),
            Column("volume", "Quantity", _lots),
            Column("quote_volume", "Volume", _quote),
        ),
        charted="quote_volume",
    ),
    MarketFigure(
        "fees",
        "Fees",
        (_TIME, _SYMBOL, Column("base_fees", "Of buyers", _base), Column("quote_fees", "Of sellers", _quote)),
        charted="quote_fees",
    ),
    MarketFigure(
        "spread",
        "Spread",
        (
            _TIME,
            _SYMBOL,
            Column("bought", "Takers bought", _lots),
            Column("sold", "Takers sold", _lots),
            Column("spread_ticks", "Traded spread (ticks)", _decimal),
        ),
        charted="spread_ticks",
    ),
    MarketFigure(
        "market_quality",
        "Market quality",
        (
            _SYMBOL,
            Column("trades", "Trades", _plain),
            Column("low", "Low", _price),
            Column("high", "High", _price),
            Column("median_lots", "Median trade (lots)", _decimal),
            Column("makers", "Makers", _plain),
            Column("filled", "Filled orders", _plain),
            Column("cancelled", "Cancelled orders", _plain),
            Column("cancelled_share", "Share cancelled", _percent),
            Column("median_fill_ms", "Median time to fill (ms)", _decimal),
        ),
    ),
    MarketFigure(
        "order_to_trade",
        "Orders to trades",
        (
            _TIME,
            _SYMBOL,
            Column("orders", "Orders", _plain),
            Column("trades", "Trades", _plain),
            Column("orders_per_trade", "Orders for a trade", _decimal),
        ),
        charted="orders_per_trade",
    ),
    MarketFigure(
        "active_accounts",
        "Active accounts",
        (_TIME, Column("traders", "Traded", _plain), Column("order_placers", "Placed orders", _plain)),
        charted="traders",
    ),
    MarketFigure(
        "self_trades_prevented",
        "Self-trades prevented",
        (_TIME, _SYMBOL, Column("orders", "Cancelled orders", _plain), Column("accounts", "Accounts", _plain)),
        charted="orders",
    ),
    MarketFigure(
        "heat_map",
        "Heat map",
        (
            Column("weekday", "Weekday", _weekday, is_number=False),
            Column("hour", "Hour (UTC)", _plain),
            Column("trades", "Trades", _plain),
            Column("accounts", "Accounts", _plain),
        ),
    ),
    MarketFigure(
        "top_accounts",
        "Top accounts",
        (
            Column("place", "Place", _plain),
            Column("quote", "Traded in", _plain, is_number=False),
            Column("account", "Account", _plain),
            Column("trades", "Trades", _plain),
            Column("quote_volume", "Volume", _quote),
        ),
        is_about_accounts=True,
    ),
)
