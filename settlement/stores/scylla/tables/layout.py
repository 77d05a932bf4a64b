"""Checks that the tables of a keyspace are those that this version's models declare.

`CREATE TABLE IF NOT EXISTS` accepts any existing table with the name. A table with another primary key would silently
overwrite some rows with others, so the schema that the servers report is compared before the first statement.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from settlement.stores.scylla.tables.models import (
    MODELS,
    AccountSetting,
    BlockByHash,
    Candle,
    CheckpointByDigest,
    EngineBlock,
    EngineBlockPart,
    EngineEpoch,
    KeyRegister,
    Order,
    OrderByClientOrderId,
    ProjectionProgress,
    SettledTrade,
    SettlementCheckpoint,
    SettlementLease,
    SignedCheckpoint,
    StoreIdentity,
    Table,
    Transfer,
    TransferByReference,
)

COLUMNS = (
    "SELECT table_name, column_name, type, kind, position, clustering_order FROM system_schema.columns "
    "WHERE keyspace_name = %s"
)
DROPPED_COLUMNS = "SELECT table_name, column_name FROM system_schema.dropped_columns WHERE keyspace_name = %s"


class Column(NamedTuple):
    """A row of `system_schema.columns`."""

    table: str
    name: str
    type: str
    kind: str  # partition_key, clustering, static, regular
    position: int  # within the partition key or the clustering key, else -1
    order: str  # asc, desc, none


_NOT_PROJECTED = (
    BlockByHash,
    CheckpointByDigest,
    EngineBlock,
    EngineBlockPart,
    EngineEpoch,
    KeyRegister,
    SettlementCheckpoint,
    SettlementLease,
    SignedCheckpoint,
    StoreIdentity,
)
_NEWER = (
    AccountSetting,
    BlockByHash,
    CheckpointByDigest,
    EngineBlockPart,
    KeyRegister,
    OrderByClientOrderId,
    ProjectionProgress,
    SettlementLease,
    SignedCheckpoint,
    StoreIdentity,
    Transfer,
    TransferByReference,
)
"""Tables that a keyspace of an earlier version does not have."""
_NEWER_COLUMNS = {
    SettledTrade: ("trade_number",),
    Order: ("trigger_price", "visible_quantity", "order_list_id", "triggered_at_ns"),
    Candle: ("quote_volume", "taker_buy_volume", "taker_buy_quote_volume"),
}
"""Columns that the tables of an earlier version do not have."""
_ANOTHER_KEYSPACE = "settle into another SCYLLA_KEYSPACE"
# Adding a dropped column again does not help: settlement's write times are before that of the drop, so all values
# written to the column stay hidden.
_RECREATE_OR_ANOTHER = f"drop the table, then run manage.py init_store and rebuild_projections, or {_ANOTHER_KEYSPACE}"


def mismatch(found: Iterable[Column]) -> str | None:
    """The first difference between the existing tables and the models, and what to do; None: there is none."""
    tables: dict[str, dict[str, Column]] = {}
    for column in found:
        tables.setdefault(column.table, {})[column.name] = column
    for model in MODELS:
        existing = tables.get(model.__table_name__)
        if existing is not None:
            wanted = {column.name: column for column in declared(model)}
            for difference in _differences(wanted, existing):
                remedy = _ANOTHER_KEYSPACE if model in _NOT_PROJECTED else _RECREATE_OR_ANOTHER
                return f"table {model.__table_name__} {difference}: {remedy}"
    return None


def missing(found: Iterable[Column]) -> list[str]:
    """The names of the missing tables."""
    existing = {column.table for column in found}
    return [model.__table_name__ for model in MODELS if model.__table_name__ not in existing]


def newer_columns() -> list[Column]:
    """The columns that were added to tables since the first version."""
    return [column for model, names in _NEWER_COLUMNS.items() for column in declared(model) if column.name in names]


def columns_to_add(found: Sequence[Column], dropped: Iterable[tuple[str, str]]) -> list[Column]:
    """The columns that existing tables lack because an earlier version created them.

    `dropped`: table and name of columns that somebody has dropped, which must not be added again.
    """
    tables = {column.table for column in found}
    there = {(column.table, column.name) for column in found} | set(dropped)
    return [c for c in newer_columns() if c.table in tables and (c.table, c.name) not in there]


def is_upgradable(found: Sequence[Column]) -> bool:
    """Whether the missing tables can be created without a loss: all are missing, or only those of newer versions.

    Any other missing table was dropped, with its rows.
    """
    newer = {model.__table_name__ for model in _NEWER}
    return not found or newer.issuperset(missing(found))


def _differences(wanted: dict[str, Column], existing: dict[str, Column]) -> Iterator[str]:
    for name, column in wanted.items():
        if name not in existing:
            yield f"has no column {name}"
        elif existing[name] != column:
            yield f"has {_described(existing[name])} instead of {_described(column)}"
    for name, column in existing.items():
        if name not in wanted and column.position >= 0:
            yield f"has an unexpected {_described(column)}"


def declared(model: type[Table]) -> Iterator[Column]:
    """The columns that `schema/settlement_schema.cql` creates for a model."""
    table, partition, clustering = model.__table_name__, 0, 0
    for column in model._columns.values():
        kind, position, order = "static" if column.static else "regular", -1, "none"
        if column.partition_key:
            kind, position, partition = "partition_key", partition, partition + 1
        elif column.primary_key:
            kind, position, clustering = "clustering", clustering, clustering + 1
            order = (column.clustering_order or "ASC").lower()
        yield Column(table, column.column_name, column.db_type, kind, position, order)


def _described(column: Column) -> str:
    place = {"partition_key": "partition key", "clustering": "clustering key"}.get(column.kind, column.kind)
    number = f" {column.position + 1}" if column.position >= 0 else ""
    order = f" {column.order}" if column.order != "none" else ""
    return f"{column.name} {column.type} ({place}{number}{order})"
