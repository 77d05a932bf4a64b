"""Every lookup of a store with released days answers as before the release, to the last row."""

from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archive.archive import Archive
from archive.archiving import archive_days
from archive.iceberg import files
from archive.reading.rows import released_rows
from archive.releasing import release_days
from matching.core.engine import Engine
from settlement import lookups
from settlement.stores.base import Store
from settlement.stores.released import reading_released
from settlement.stores.sql.store import SqlStore
from tests.archive.days import archive_in, chain_of_days, settle
from tests.reference.streams import random_commands
from tests.settlement.conftest import empty, tables
from tests.settlement.stores.test_same_answers import (
    BLOCKS,
    LIMITS,
    NO_NAME,
    of_accounts,
    of_accounts_in_instruments,
    of_blocks,
    of_orders,
    of_trades,
)

SMALL_GROUP = 25
"""Rows of a row group, so that every table has many."""


@pytest.fixture(
    params=[
        "sql",
        pytest.param(
            "postgres",
            marks=[
                pytest.mark.services("postgres"),
                pytest.mark.django_db(databases=["default", "postgres"]),
            ],
        ),
    ]
)
def store(request: pytest.FixtureRequest, db: None) -> Store:
    made = SqlStore({"sql": "default"}.get(request.param, request.param))
    made.connect()
    return made


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_GROUP_ROWS", SMALL_GROUP)


def joined(store: Store, archive: Archive) -> Store:
    """The store as another process opens it, with the rows that are released."""
    return reading_released(store, lambda anchor: released_rows(lambda: archive, anchor))


def release(store: Store, archive: Archive, days: int) -> None:
    """Archives all complete days, and releases the first ones."""
    archive_days(store, archive)
    through = archive.complete()[days - 1].partition.day
    done = release_days(store, archive, Engine(), through=through)
    assert (len(done.days), done.rows > 0) == (days, True)


def answers(store: Store) -> Iterator[Any]:
    """Of every lookup, with many keys, limits and filters."""
    registry = lookups.registry_of(store.definitions())
    named = [NO_NAME, *registry.instrument_by_symbol]
    assets = [None, NO_NAME, *registry.asset_by_symbol]
    asked: tuple[tuple[Callable[..., Iterator[Any]], list[Any]], ...] = (
        (of_trades, [[None, *named]]),
        (of_orders, [[None, *named]]),
        (of_accounts, [assets]),
        (of_accounts_in_instruments, [named]),
        (of_blocks, []),
    )
    for ask, names in asked:
        for place, answer in enumerate(ask(store, *names)):
            yield ask.__name__, place, answer
    for symbol, limit in product(named, LIMITS):
        yield "candles", (symbol, limit), store.candles(symbol, limit)


def test_every_lookup_finds_the_same_rows_in_the_same_order(store: Store, small_groups: None, tmp_path: Path) -> None:
    archive = archive_in(tmp_path / "archive")
    settle(store, BLOCKS)
    before = list(answers(store))
    release(store, archive, 1)
    assert store.get_block(1) is None
    for one, other in zip(before, answers(joined(store, archive)), strict=True):
        assert one == other


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(1, 10**6), step_h=st.integers(2, 5), released=st.integers(1, 4), group=st.integers(1, 60))
def test_random_chains_keep_all_their_rows(
    store: Store, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch,
    seed: int, step_h: int, released: int, group: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(files, "_GROUP_ROWS", group)
    archive = archive_in(tmp_path_factory.mktemp("random") / "archive")
    empty(store)
    commands = random_commands(seed, 160, instruments=2, accounts=5, wild=False)
    settle(store, chain_of_days(commands, block_size=9, step_ns=step_h * 3600 * 10**9).blocks)
    before = tables_of(store)
    archive_days(store, archive)
    days = len(archive.complete())
    if days:
        release(store, archive, min(released, days))
    assert tables_of(joined(store, archive)) == before


def tables_of(store: Store) -> dict[str, list[Any]]:
    return tables(store, is_restarted=False)
