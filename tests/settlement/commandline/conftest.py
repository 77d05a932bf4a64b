"""A settled store for tests of the management commands, and functions that run a command."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from settlement import wiring, worker
from settlement.options import Options
from settlement.stores.base import Store
from settlement.stores.sql.store import SqlStore
from tests.settlement.chains import worked_example
from tests.settlement.conftest import snapshotter_in
from tests.settlement.fakes import FakeClock, feed_of

CHAIN = worked_example()


@pytest.fixture
def store(db: None) -> Store:
    """The store of the default settings, which the commands use."""
    made = SqlStore()
    made.connect()
    return made


@pytest.fixture
def settled(data_dir: Path, store: Store, clock: FakeClock) -> Store:
    """The worked example: one trade, number 8."""
    feed, trail = feed_of(clock, CHAIN.blocks), wiring.trail()
    letters, spill = wiring.dead_letters(store), wiring.spill()
    worker.run(
        worker.Services(
            feed=feed,
            store=store,
            trail=trail,
            letters=letters,
            spill=spill,
            snapshotter=snapshotter_in(wiring.data_dir()),
            clock=clock,
            stop=feed.is_silent,
            options=Options(),
        )
    )
    trail.close()
    return store


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def ended(*arguments: str) -> tuple[int, str, str]:
    """(exit code, error message, output) of a command that ends with an error."""
    out = StringIO()
    with pytest.raises(CommandError) as error:
        call_command(*arguments, stdout=out, stderr=StringIO())
    assert "\n" not in str(error.value)
    return error.value.returncode, str(error.value), out.getvalue()


def refused(*arguments: str) -> tuple[int, str]:
    """(exit code, error message) of a command that ends with an error."""
    return ended(*arguments)[:2]
