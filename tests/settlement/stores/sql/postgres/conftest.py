"""Databases on the shared PostgreSQL, one for each test."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from typing import Any

import psycopg
import pytest
from django.db import connections
from pytest_django import DjangoDbBlocker

from scripts.services import Running
from settlement.stores.base import (
    StoreError,
)
from settlement.stores.sql.store import SqlStore
from tests.settlement.rows import block

ALIAS = "of_this_test"
_names = count(1)

Raw = psycopg.Connection[tuple[Any, ...]]


def raw(server: Running, database: str = "postgres") -> Raw:
    """Another client, without a transaction around its statements."""
    return psycopg.connect(host=server.host, port=server.port, user="postgres", dbname=database, autocommit=True)


@pytest.fixture
def use(django_db_blocker: DjangoDbBlocker) -> Iterator[Callable[..., None]]:
    """use(server, database, **more) makes that database the one behind ALIAS."""

    def use_one(server: Running, database: str, **more: Any) -> None:
        connections.settings[ALIAS] = {
            **connections["default"].settings_dict,
            "ENGINE": "django.db.backends.postgresql",
            "NAME": database,
            "HOST": server.host,
            "PORT": str(server.port),
            "USER": "postgres",
            "OPTIONS": {},
            **more,
        }

    with django_db_blocker.unblock():
        yield use_one
        if ALIAS in connections.settings:
            connections[ALIAS].close()
            del connections[ALIAS]
            del connections.settings[ALIAS]


@pytest.fixture(scope="module")
def with_tables(postgres: Running, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """A database with every table, to be copied."""
    name = f"tables_{os.getpid()}"
    with closing(raw(postgres)) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        settings = connections["default"].settings_dict
        connections.settings[name] = {**settings, "ENGINE": "django.db.backends.postgresql", "OPTIONS": {}}
        connections.settings[name] |= {"NAME": name, "HOST": postgres.host, "PORT": postgres.port, "USER": "postgres"}
        with django_db_blocker.unblock():
            made = SqlStore(name)
            made.init()
            made.close()
        del connections[name]
        del connections.settings[name]
        yield name
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(postgres: Running, with_tables: str, use: Callable[..., None]) -> Iterator[str]:
    """The name of an empty one of this test's own, behind ALIAS."""
    name = f"{with_tables}_{next(_names)}"
    with closing(raw(postgres)) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {with_tables}")
        use(postgres, name)
        yield name
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def other(postgres: Running, database: str) -> Iterator[Raw]:
    """Another client of that database."""
    with closing(raw(postgres, database)) as connection:
        yield connection


@pytest.fixture
def sql(database: str) -> SqlStore:
    store = SqlStore(ALIAS)
    store.append_blocks([block(1)])
    return store


def sessions(other: Raw) -> list[int]:
    """Process ids of everybody else's."""
    rows = other.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    return [pid for (pid,) in rows]


def waits_for_a_lock(other: Raw) -> bool:
    """Anybody. (pg_stat_activity would not do: it stands still within a transaction.)"""
    return other.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone() is not None


def elsewhere(store: SqlStore, call: Callable[[SqlStore], None]) -> StoreError | None:
    """Makes the call on another thread's connection; what it raised."""
    try:
        call(store)
    except StoreError as error:
        return error
    finally:
        store.close()
    return None
