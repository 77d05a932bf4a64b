"""Chunks of the store's rows that a process keeps."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from analytics import recent
from analytics.errors import QueryTooLarge
from analytics.period import Period
from analytics.recent import ChunkCache
from analytics.sources import Source
from analytics.tables import ARCHIVED
from matching.core.decimals import INT64_MAX
from settlement.errors import NotReady
from settlement.stores.base import Store
from tests.analytics.test_sources import MANY, of_store, rows
from tests.analytics.test_sources import key as key_of

READS = {
    "trades": "get_trades_by_sequence_range",
    "ledger_events": "get_ledger_events",
    "orders": "get_orders",
}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "CHUNK_BLOCKS", 5)


@pytest.fixture
def kept() -> ChunkCache:
    return ChunkCache(1 << 20)


def source(store: Store, kept: ChunkCache) -> Source:
    return Source(store, lambda: None, max_rows=MANY, cache=kept)


def counting(monkeypatch: pytest.MonkeyPatch, store: Store, name: str) -> list[Any]:
    """The calls of a method of the store."""
    calls: list[Any] = []
    method: Callable[..., Any] = getattr(store, name)

    def counted(*given: Any, **named: Any) -> Any:
        calls.append(given)
        return method(*given, **named)

    monkeypatch.setattr(store, name, counted)
    return calls


@pytest.mark.parametrize("name", ARCHIVED)
def test_what_is_kept_is_not_read_again(
    settled: Store, kept: ChunkCache, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = counting(monkeypatch, settled, READS[name])
    first = rows(source(settled, kept), name)
    read = len(calls)
    assert sorted(first, key=key_of) == of_store(settled, name)
    del calls[:]
    assert rows(source(settled, kept), name) == first
    assert 0 < len(calls) < read / 2  # only the last chunk, which may become longer


def test_rows_that_are_dropped_while_they_are_read_are_not_kept(settled: Store, kept: ChunkCache) -> None:
    (oldest,) = settled.get_trades_by_sequence_range(1, INT64_MAX, 1)  # with it the rebuild begins
    with pytest.raises(NotReady):
        source(settled, kept).read(["trades"], Period(), settled.drop_projections)
    assert all(last < oldest.block_number for _, _, _, last, _ in kept._tables)


def test_rows_of_a_block_that_the_store_rejected_are_not_kept(
    settled: Store, kept: ChunkCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter = type("Letter", (), {"block_number": 6})
    monkeypatch.setattr(settled, "dead_letters", lambda: [letter])
    assert source(settled, kept).read(["trades"], Period()).rejected_blocks == [6]
    numbers = [(first, last) for _, first, _, last, _ in kept._tables]
    assert (1, 4) in numbers
    assert not [one for one in numbers if one[0] <= 6 <= one[1]]


def test_a_query_that_ran_out_of_time_leaves_its_rows_to_the_next_one(settled: Store, kept: ChunkCache) -> None:
    asked = 0
    for attempt in range(100):
        ticks = iter(range(3))

        def tick(ticks: Any = ticks) -> None:
            if next(ticks, None) is None:
                raise QueryTooLarge("late")

        try:
            found = source(settled, kept).read(["ledger_events"], Period(), tick)
        except QueryTooLarge:
            asked = attempt + 1
            continue
        assert sum(part.num_rows for part in found.parts["ledger_events"]) == len(of_store(settled, "ledger_events"))
        break
    assert 0 < asked < 20


def test_another_block_with_the_same_number_is_another_chunk(settled: Store, kept: ChunkCache) -> None:
    source(settled, kept).read(["trades"], Period())
    key = next(iter(kept._tables))
    assert kept.get(key) is not None
    assert kept.get((key[0], key[1], key[2] + 1, key[3], key[4])) is None


def test_the_oldest_chunks_leave_a_full_cache() -> None:
    table = pa.table({"x": pa.array(range(100), pa.int64())})
    cache = ChunkCache(2 * table.nbytes)
    keys = [("trades", number, 0, number, 0) for number in range(3)]
    for key in keys[:2]:
        cache.put(key, table)
    assert cache.get(keys[0]) is not None
    cache.put(keys[2], table)
    assert [cache.get(key) is not None for key in keys] == [True, False, True]
    none = ChunkCache(0)
    none.put(keys[0], table)
    assert none.get(keys[0]) is None
