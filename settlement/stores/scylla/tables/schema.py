"""The CQL of the tables, made from the models. `schema/settlement_schema.cql` is `script` with the default settings."""

import json
from collections.abc import Iterator, Mapping

from settlement.stores.scylla.tables.models import MODELS, Table

HEADER = """\
-- The tables of the ScyllaDB store: `manage.py init_store` makes them, or `cqlsh -f` of this file, either again without
-- harm. Name the keyspace as SCYLLA_KEYSPACE does, and choose its replication: SimpleStrategy is for one node.
-- A test holds this file equal to the models (settlement/stores/scylla/tables/models.py).
-- docs/decisions/0016-scylla-store.md says what keys and write times mean, and why no row may be deleted by hand:
-- today's write time is later than any that settlement uses, so what it writes there again would stay hidden.
"""


def options_text(options: Mapping[str, object]) -> str:
    """A map as CQL writes it."""
    return json.dumps(dict(options)).replace('"', "'")


def script(keyspace: str, replication: str) -> str:
    """`replication` as CQL writes it."""
    return "\n".join([HEADER, *(f"{statement};\n" for statement in statements(keyspace, replication))])


def statements(keyspace: str, replication: str) -> Iterator[str]:
    """In an order in which they can be run; again without harm."""
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
