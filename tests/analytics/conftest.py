"""A store with settled days of commands of every kind, of which the archive has those that are over."""

import random
from pathlib import Path

import pytest

from analytics.wiring import chunk_cache
from archive import wiring
from archive.archiving import archive_days
from settlement.stores.base import Store
from settlement.stores.sql.store import SqlStore
from tests.analytics.random_market import random_commands
from tests.archive.days import chain_of_days, settle


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    """The cache of the process does not outlive a test."""
    chunk_cache.cache_clear()


@pytest.fixture
def store(db: None) -> Store:
    """The store of the default settings, which the commands use; empty."""
    made = SqlStore()
    made.connect()
    return made


@pytest.fixture
def settled(store: Store, data_dir: Path) -> Store:
    """Three days in the store, none archived."""
    settle(store, chain_of_days().blocks)
    return store


@pytest.fixture
def archived(settled: Store) -> Store:
    """Three days, of which two are archived; the third is not over."""
    archive_days(settled, wiring.archive())
    return settled


@pytest.fixture
def market(store: Store, data_dir: Path, seed: int) -> Store:
    """250 random orders over three days, of which two are archived."""
    commands = random_commands(random.Random(seed), 250)
    settle(store, chain_of_days(commands, block_size=8).blocks)
    archive_days(store, wiring.archive())
    return store
