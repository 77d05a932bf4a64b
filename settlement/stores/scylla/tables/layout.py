"""Whether the tables of a keyspace are those that this version's models declare.

`CREATE TABLE IF NOT EXISTS` takes whatever has the name. A table of other keys would take rows and lose some of them
without a word, so the servers' own description is compared before the first statement.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from settlement.stores.scylla.tables.models import (
    MODELS,
    EngineBlock,
    EngineBlockPart,
    EngineEpoch,
    SettlementCheckpoint,
    Table,
)

COLUMNS = (
    "SELECT table_name, column_name, type, kind, position, clustering_order FROM system_schema.columns "
    "WHERE keyspace_name = %s"
)


class Column(NamedTuple):
    """As `system_schema.columns` has it."""

    table: str
    name: str
    type: str
    kind: str  # partition_key, clustering, static, regular
    position: int  # within the partition key or the clustering key, else -1
    order: str  # asc, desc, none


_NOT_PROJECTED = (EngineBlock, EngineBlockPart, EngineEpoch, SettlementCheckpoint)
_ANOTHER_KEYSPACE = "settle into another SCYLLA_KEYSPACE"
# A column that is added again hides what is written: its write times are before that of the drop.
_OR_ANEW = f"drop the table, then run manage.py init_store and rebuild_projections, or {_ANOTHER_KEYSPACE}"


def misfit(found: Iterable[Column]) -> str | None:
    """The first thing about the tables that are there which does not fit, and what to do."""
    tables: dict[str, dict[str, Column]] = {}
    for column in found:
        tables.setdefault(column.table, {})[column.name] = column
    for model in MODELS:
        there = tables.get(model.__table_name__)
        if there is not None:
            wanted = {column.name: column for column in declared(model)}
            for difference in _differences(wanted, there):
                remedy = _ANOTHER_KEYSPACE if model in _NOT_PROJECTED else _OR_ANEW
                return f"table {model.__table_name__} {difference}: {remedy}"
    return None


def missing(found: Iterable[Column]) -> list[str]:
    """The tables that are not there: none of them are yet, or an older version made the others."""
    there = {column.table for column in found}
    return [model.__table_name__ for model in MODELS if model.__table_name__ not in there]


def _differences(wanted: dict[str, Column], there: dict[str, Column]) -> Iterator[str]:
    for name, column in wanted.items():
        if name not in there:
            yield f"has no column {name}"
        elif there[name] != column:
            yield f"has {_described(there[name])} where {_described(column)} should be"
    for name, column in there.items():
        if name not in wanted and column.position >= 0:
            yield f"has {_described(column)}, which does not belong there"


def declared(model: type[Table]) -> Iterator[Column]:
    """What `schema/settlement_schema.cql` makes of a model."""
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
