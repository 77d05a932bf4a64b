"""CQL that creates the tables of the models. `schema/settlement_schema.cql` is `script` with the default settings."""

import json
from collections.abc import Iterator, Mapping

from settlement.stores.scylla.tables.layout import Column, newer_columns
from settlement.stores.scylla.tables.models import MODELS, Table

HEADER = """\
-- The tables of the ScyllaDB store. `manage.py init_store` creates them, and so does `cqlsh -f` with this file; both
-- can be run again. Use the keyspace of SCYLLA_KEYSPACE, and choose its replication: SimpleStrategy is for one node.
-- A test checks that this file equals the models (settlement/stores/scylla/tables/models.py).
-- docs/decisions/0016-scylla-store.md explains keys and write times, and why no row may be deleted by hand: such a
-- delete has a later write time than any write of settlement, so a row that is written there again stays hidden.
"""

ADDED_COLUMNS = """\
-- Tables that an earlier version created lack these columns. `manage.py init_store` adds those that are missing, and so
-- does run_settlement at its start; with cqlsh run each that is missing once:
"""


def options_text(options: Mapping[str, object]) -> str:
    """A map as a CQL literal."""
    return json.dumps(dict(options)).replace('"', "'")


def script(keyspace: str, replication: str) -> str:
    """All statements, for cqlsh. `replication` is a CQL map literal."""
    made = [f"{statement};\n" for statement in statements(keyspace, replication)]
    added = [f"-- {added_column(keyspace, column)};" for column in newer_columns()]
    return "\n".join([HEADER, *made, ADDED_COLUMNS + "\n".join(added) + "\n"])


def added_column(keyspace: str, column: Column) -> str:
    """The statement that adds a column to a table of an earlier version. Both servers refuse to run it again."""
    return f"ALTER TABLE {keyspace}.{column.table} ADD {column.name} {column.type}"


def statements(keyspace: str, replication: str) -> Iterator[str]:
    """The statements in the order to run them; running them again changes nothing."""
    yield f"CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {replication}"
    for model in MODELS:
        yield _create_table(keyspace, model)


def _create_table(keyspace: str, model: type[Table]) -> str:
    columns = [(column.column_name, column) for column in model._columns.values()]
    partition = [name for name, column in columns if column.partition_key]
    clustering = [(name, column) for name, column in columns if column.primary_key and not column.partition_key]
    lines = [f"    {name} {column.db_type}{' static' if column.static else ''}," for name, column in columns]
    key = ", ".join([f"({', '.join(partition)})", *(name for name, _ in clustering)])
    table = [
        f"CREATE TABLE IF NOT EXISTS {keyspace}.{model.__table_name__} (",
        *lines,
        f"    PRIMARY KEY ({key})",
        ")",
    ]
    order = ", ".join(f"{name} {column.clustering_order or 'ASC'}" for name, column in clustering)
    return "\n".join(table) + (f" WITH CLUSTERING ORDER BY ({order})" if order else "")
