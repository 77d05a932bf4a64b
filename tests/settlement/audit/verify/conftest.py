"""A settled store for tests that change its rows and verify it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from matching.core.engine import Engine
from settlement.audit import verify
from settlement.audit.verify import Report
from settlement.stores.base import Store
from settlement.stores.sql.store import SqlStore
from tests.reference.streams import random_commands
from tests.settlement.chains import chain_of
from tests.settlement.conftest import Settle
from tests.settlement.fakes import FakeClock, feed_of

CHAIN = chain_of(random_commands(5, 400, instruments=2, accounts=4, wild=False), 16)
BLOCKS = CHAIN.blocks
LAST = BLOCKS[-1].number

Verify = Callable[..., Report]


@pytest.fixture
def store(db: None) -> Store:
    """A SQL store, because these tests change rows with SQL; test_scylla_store verifies the other store."""
    made = SqlStore()
    made.connect()
    return made


@pytest.fixture
def settled(store: Store, settle: Settle, clock: FakeClock) -> Store:
    settle(store, feed_of(clock, BLOCKS))
    return store


@pytest.fixture
def verified(settled: Store, folder: Path) -> Verify:
    def run(first: int | None = None, last: int | None = None, engine: Any = None) -> Report:
        return verify.verify(settled, folder, engine or Engine(), from_block=first, to_block=last)

    return run


def change(statement: str, *parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        assert cursor.rowcount == 1, statement


def value(statement: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0]


def differing(report: Report) -> list[str]:
    """The differences without their values; checks that the JSON form of the report has the same ones."""
    assert report.ok is not bool(report.differences)
    assert report.difference_count == len(report.differences)
    form = json.loads(json.dumps(report.form(), default=str))
    assert form["ok"] is report.ok
    assert [found["key"] for found in form["differences"]] == [found.key for found in report.differences]
    return [f"{found.what} {found.key}" for found in report.differences]
