"""verify_settlement with a thread of its own for the store, on a database file as the command uses it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pytest_django import DjangoDbBlocker

from matching.core.engine import Engine
from settlement.audit import verify
from tests.settlement.audit.verify.conftest import BLOCKS, differing
from tests.settlement.conftest import Settle
from tests.settlement.fakes import FakeClock, feed_of
from tests.settlement.file_stores import store_in


def test_a_thread_beside_finds_the_same(
    tmp_path: Path,
    folder: Path,
    settle: Settle,
    clock: FakeClock,
    django_db_blocker: DjangoDbBlocker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(verify, "_BATCH_EVENTS", 30)
    with store_in(tmp_path / "store.sqlite3", django_db_blocker) as store, ThreadPoolExecutor(1) as thread:
        settle(store, feed_of(clock, BLOCKS))
        middle = store.get_trades_by_sequence_range(BLOCKS[-1].first_event_sequence // 2, 1 << 62, 1)[0]
        found = []
        try:
            for change in (0, 1):
                store.insert_trade(middle._replace(price=middle.price + change))
                found.append(differing(verify.verify(store, folder, Engine(), thread=thread)))
        finally:
            thread.submit(store.close).result()
    assert found == [[], [f"trade {middle.trade_id}"]]
