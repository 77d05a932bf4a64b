"""The columns of the archive's tables, named here and nowhere else.

A table has the fields of a row of the store, in the store's units, after the two columns that it is partitioned by.
Numbers of columns are their place: a new column goes to the end, and is optional.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from typing import Any, NamedTuple

import pyarrow as pa
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import BinaryType, BooleanType, DateType, LongType, NestedField, PrimitiveType, StringType

from matching.core.hashes import hash_text, hash_value
from settlement.stores.base import LedgerEvent, Order, StoredBlock, Trade

_NUMBER, _TEXT, _FLAG, _BYTES = LongType(), StringType(), BooleanType(), BinaryType()
_FIRST_PARTITION_FIELD = 1000  # the Iceberg specification numbers partition fields from there


class Partition(NamedTuple):
    """The part of each table that is written in one commit."""

    day: date  # UTC, of the blocks' times
    shard: int


class Column(NamedTuple):
    name: str
    type: PrimitiveType
    is_optional: bool = False


class ArchiveTable(NamedTuple):
    name: str
    row_type: Callable[[Iterable[Any]], Any]  # `_make` of the row's named tuple
    sequence: str  # the column that orders the rows
    columns: tuple[Column, ...]

    @property
    def schema(self) -> Schema:
        columns = (Column("day", DateType()), Column("shard", _NUMBER), *self.columns)
        return Schema(
            *(
                NestedField(number, column.name, column.type, required=not column.is_optional)
                for number, column in enumerate(columns, 1)
            )
        )

    @property
    def arrow_schema(self) -> pa.Schema:
        """With the numbers of the columns, by which readers find them."""
        return schema_to_pyarrow(self.schema)

    def batch(self, partition: Partition, rows: Sequence[tuple[Any, ...]]) -> pa.RecordBatch:
        """Rows of the table as columns. `rows` is not empty."""
        schema = self.arrow_schema
        count = len(rows)
        fixed = (pa.array([value] * count, field.type) for value, field in zip(partition, schema, strict=False))
        columns = zip(*rows, strict=True)
        arrays = [pa.array(values, field.type) for values, field in zip(columns, list(schema)[2:], strict=True)]
        return pa.RecordBatch.from_arrays([*fixed, *arrays], schema=schema)

    def rows(self, batch: pa.RecordBatch) -> list[Any]:
        """The inverse of `batch`."""
        columns = [batch.column(column.name).to_pylist() for column in self.columns]
        return [self.row_type(values) for values in zip(*columns, strict=True)]


PARTITIONED_BY = PartitionSpec(
    PartitionField(1, _FIRST_PARTITION_FIELD, IdentityTransform(), "day"),
    PartitionField(2, _FIRST_PARTITION_FIELD + 1, IdentityTransform(), "shard"),
)


def _block_row(values: Iterable[Any]) -> StoredBlock:
    row = StoredBlock._make(values)
    return row._replace(hash=hash_value(str(row.hash)), prev_hash=hash_value(str(row.prev_hash)))


def block_values(block: StoredBlock) -> tuple[Any, ...]:
    """Hashes are text: Iceberg has no unsigned integers."""
    return block._replace(hash=hash_text(block.hash), prev_hash=hash_text(block.prev_hash))  # type: ignore[arg-type]


BLOCKS = ArchiveTable(
    "blocks",
    _block_row,
    "number",
    (
        Column("number", _NUMBER),
        Column("hash", _TEXT),
        Column("prev_hash", _TEXT),
        Column("epoch", _NUMBER),
        Column("timestamp_ns", _NUMBER),
        Column("first_command_sequence", _NUMBER),
        Column("last_command_sequence", _NUMBER),
        Column("first_event_sequence", _NUMBER),
        Column("last_event_sequence", _NUMBER),
        Column("trade_count", _NUMBER),
        Column("data", _BYTES),
    ),
)
TRADES = ArchiveTable(
    "trades",
    Trade._make,
    "trade_id",
    (
        Column("trade_id", _NUMBER),
        Column("block_number", _NUMBER),
        Column("timestamp_ns", _NUMBER),
        Column("symbol", _TEXT),
        Column("price", _NUMBER),
        Column("quantity", _NUMBER),
        Column("taker_side", _TEXT),
        Column("maker_order_id", _NUMBER),
        Column("taker_order_id", _NUMBER),
        Column("buyer", _NUMBER),
        Column("seller", _NUMBER),
        Column("buyer_fee", _NUMBER),
        Column("seller_fee", _NUMBER),
        Column("trade_number", _NUMBER, is_optional=True),
    ),
)
LEDGER_EVENTS = ArchiveTable(
    "ledger_events",
    LedgerEvent._make,
    "event_sequence",
    (
        Column("event_sequence", _NUMBER),
        Column("leg", _NUMBER),
        Column("block_number", _NUMBER),
        Column("timestamp_ns", _NUMBER),
        Column("account", _NUMBER),
        Column("asset", _TEXT),
        Column("kind", _TEXT),
        Column("delta_available", _NUMBER),
        Column("delta_locked", _NUMBER),
        Column("available_after", _NUMBER),
        Column("locked_after", _NUMBER),
    ),
)
CLOSED_ORDERS = ArchiveTable(
    "closed_orders",
    Order._make,
    "updated_sequence",
    (
        Column("order_id", _NUMBER),
        Column("account", _NUMBER),
        Column("symbol", _TEXT),
        Column("side", _TEXT),
        Column("order_type", _TEXT),
        Column("time_in_force", _TEXT),
        Column("post_only", _FLAG),
        Column("self_trade_prevention", _TEXT),
        Column("client_order_id", _TEXT, is_optional=True),
        Column("price", _NUMBER, is_optional=True),
        Column("quantity", _NUMBER, is_optional=True),
        Column("quote_quantity", _NUMBER, is_optional=True),
        Column("filled", _NUMBER),
        Column("remaining", _NUMBER),
        Column("status", _TEXT),
        Column("reason", _TEXT, is_optional=True),
        Column("placed_at_ns", _NUMBER),
        Column("updated_at_ns", _NUMBER),
        Column("updated_sequence", _NUMBER),
        Column("trigger_price", _NUMBER, is_optional=True),
        Column("visible_quantity", _NUMBER, is_optional=True),
        Column("order_list_id", _NUMBER, is_optional=True),
        Column("triggered_at_ns", _NUMBER, is_optional=True),
    ),
)
"""An order is in the partition of the day on which it closed."""

TABLES = (BLOCKS, TRADES, LEDGER_EVENTS, CLOSED_ORDERS)
"""In the order in which they are committed: the blocks first, so that a partition of blocks shows that a day began."""
