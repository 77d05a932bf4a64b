"""A SQL store in its own SQLite file, which tests copy, damage and replace."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import connections
from pytest_django import DjangoDbBlocker

from settlement.stores.sql.store import SqlStore

ALIAS = "file"


@contextmanager
def store_in(
    file: Path, blocker: DjangoDbBlocker, timeout_ms: int | None = None, *, is_made: bool = False, **options: str
) -> Iterator[SqlStore]:
    """An empty store, or the one that `is_made`; `options` are those of Django's SQLite backend."""
    settings = {**connections["default"].settings_dict, "ENGINE": "settlement.stores.sql.sqlite", "NAME": str(file)}
    connections.settings[ALIAS] = {**settings, "OPTIONS": {"transaction_mode": "IMMEDIATE", **options}}
    try:
        with blocker.unblock():
            store = SqlStore(ALIAS, timeout_ms=timeout_ms)
            try:
                if not is_made:
                    store.init()
                yield store
            finally:
                store.close()
    finally:
        del connections.settings[ALIAS]
        del connections[ALIAS]
