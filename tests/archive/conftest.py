"""A store with settled days, and an archive in a folder."""

from collections.abc import Callable
from pathlib import Path

import pytest

from archive import wiring
from archive.archive import Archive
from settlement.stores.base import Store
from settlement.stores.sql.store import SqlStore
from tests.archive.days import chain_of_days, settle

OpenArchive = Callable[[], Archive]


@pytest.fixture
def store(db: None) -> Store:
    """The store of the default settings, which the commands use; empty."""
    made = SqlStore()
    made.connect()
    return made


@pytest.fixture
def settled(store: Store) -> Store:
    """Some days of commands of every kind."""
    settle(store, chain_of_days().blocks)
    return store


@pytest.fixture
def open_archive(data_dir: Path) -> OpenArchive:
    """Opens the embedded archive, as another process would."""
    return wiring.archive
