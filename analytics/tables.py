"""The tables that queries see, with their columns.

`trades`, `ledger_events` and `orders` have the columns of the archive's tables, in the store's units: ticks, lots,
smallest units of an asset, nanoseconds. `orders` also has open orders. `instruments` and `assets` convert units.
"""

from typing import NamedTuple

import pyarrow as pa

from archive.iceberg.schema import CLOSED_ORDERS, LEDGER_EVENTS, TRADES, ArchiveTable
from matching.core.registry import Registry

ORDERS = "orders"
ARCHIVED: dict[str, ArchiveTable] = {
    "trades": TRADES,
    "ledger_events": LEDGER_EVENTS,
    ORDERS: CLOSED_ORDERS,
}

ASSETS = pa.schema([pa.field("symbol", pa.string(), False), pa.field("decimals", pa.int64(), False)])
INSTRUMENTS = pa.schema(
    [
        pa.field("symbol", pa.string(), False),
        pa.field("base", pa.string(), False),
        pa.field("quote", pa.string(), False),
        pa.field("tick_size", pa.string(), False),  # a decimal of the quote asset
        pa.field("lot_size", pa.string(), False),  # a decimal of the base asset
        pa.field("lot_units", pa.int64(), False),  # smallest units of the base asset in a lot
        pa.field("quote_unit", pa.int64(), False),  # smallest units of the quote asset, for a lot at one tick
    ]
)
REFERENCE: dict[str, pa.Schema] = {"assets": ASSETS, "instruments": INSTRUMENTS}


class Named(NamedTuple):
    name: str
    schema: pa.Schema


TABLES: tuple[Named, ...] = (
    *(Named(name, table.arrow_schema) for name, table in ARCHIVED.items()),
    *(Named(name, schema) for name, schema in REFERENCE.items()),
)
NAMES = tuple(table.name for table in TABLES)


def reference_rows(registry: Registry) -> dict[str, pa.Table]:
    """The tables `assets` and `instruments`."""
    assets = [{"symbol": asset.symbol, "decimals": asset.decimals} for asset in registry.assets]
    instruments = [
        {
            "symbol": one.symbol,
            "base": one.base.symbol,
            "quote": one.quote.symbol,
            "tick_size": one.tick.text(1),
            "lot_size": one.lot.text(1),
            "lot_units": one.lot_units,
            "quote_unit": one.quote_unit,
        }
        for one in registry.instruments
    ]
    return {
        "assets": pa.Table.from_pylist(assets, ASSETS),
        "instruments": pa.Table.from_pylist(instruments, INSTRUMENTS),
    }
