"""Checks that a SQL database has all tables and columns of the models, independently of its record of migrations."""

from collections.abc import Iterator

from django.apps import apps
from django.db.backends.base.base import BaseDatabaseWrapper


def missing(connection: BaseDatabaseWrapper) -> Iterator[str]:
    """Yields what is missing, as "table trades" or "column price of table trades". Raises Django's database errors."""
    with connection.cursor() as cursor:
        tables = set(connection.introspection.table_names(cursor))
        for model in apps.get_app_config("settlement").get_models():
            table = model._meta.db_table
            if table not in tables:
                yield f"table {table}"
                continue
            there = {column.name for column in connection.introspection.get_table_description(cursor, table)}
            for field in model._meta.local_concrete_fields:
                if field.column is not None and field.column not in there:
                    yield f"column {field.column} of table {table}"
