"""The store as the engine's history: stored blocks, spilled blocks, and an unreachable store."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from exchange_site.engine_host import store_history
from exchange_site.engine_host.store_history import StoreHistory
from exchange_site.engine_host.store_watch import StoreWatch
from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.core.epochs import Epoch
from matching.storage.history import HistoryUnavailable, StoredUpTo
from settlement.durable.claim import Claim
from settlement.receive.chain import stored
from settlement.stores.base import Fenced, StoreUnavailable
from settlement.stores.sql.store import SqlStore
from tests.matching.places import chain
from tests.matching.small_exchange import until

LAST = 150

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def blocks() -> list[Block]:
    return chain(Engine(), LAST)


@pytest.fixture
def store() -> SqlStore:
    made = SqlStore()
    made.connect()
    return made


class NoClaim(Claim):
    """The claim of an engine on another machine than settlement."""

    def __init__(self) -> None:
        super().__init__(Path("nowhere"))

    def make(self, newest_epoch: int) -> None:
        pass

    def withdraw(self) -> None:
        pass


NO_CLAIM = NoClaim()


def history(store: SqlStore, spilled: Iterable[Block] = ()) -> StoreHistory:
    return StoreHistory(store, lambda: iter(spilled), NO_CLAIM, sleep=lambda seconds: None)


def epoch(number: int, first_block: int, prev_hash: int, engine: str = "one") -> Epoch:
    return Epoch(number, first_block, prev_hash, engine, "a", "b", "c", 1)


def numbers(found: Iterator[Block]) -> list[int]:
    return [block.number for block in found]


def test_blocks_are_read_in_pages_and_then_from_the_spill(store: SqlStore, blocks: list[Block]) -> None:
    store.append_blocks([stored(block) for block in blocks[:140]])
    found = history(store, blocks[135:])
    assert numbers(found.blocks(1)) == list(range(1, 151))
    assert numbers(found.blocks(139)) == list(range(139, 151))
    assert numbers(found.blocks(145)) == list(range(145, 151))
    assert (found.hash_of(140), found.hash_of(150)) == (blocks[139].hash, blocks[149].hash)
    assert (found.hash_of(0), found.hash_of(151)) == (None, None)


def test_large_blocks_are_read_a_few_at_a_time(
    store: SqlStore, blocks: list[Block], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_history, "_PAGE_BYTES", len(blocks[0].data) + 1)
    store.append_blocks([stored(block) for block in blocks[:20]])
    found = history(store, blocks[18:25])
    assert numbers(found.blocks(1)) == list(range(1, 26))
    assert len(found._page(1)) == 2


def test_spilled_blocks_overruled_by_an_epoch_are_left_out(store: SqlStore, blocks: list[Block]) -> None:
    store.append_blocks([stored(block) for block in blocks[:140]])
    store.begin_epoch(epoch(1, 141, blocks[139].hash))
    store.begin_epoch(epoch(2, 146, blocks[144].hash))
    found = history(store, blocks[140:])
    assert numbers(found.blocks(141)) == [141, 142, 143, 144, 145]
    assert found.hash_of(146) is None


def test_an_epoch_that_lost_the_race_is_not_begun(store: SqlStore, blocks: list[Block]) -> None:
    store.append_blocks([stored(block) for block in blocks[:10]])
    found = history(store)
    assert not found.begin_epoch(epoch(1, 10, blocks[8].hash)), "the store has gone past it"
    assert not found.begin_epoch(epoch(1, 11, 1)), "the store has another block there"
    assert found.begin_epoch(epoch(1, 11, blocks[9].hash))
    assert not found.begin_epoch(epoch(1, 11, blocks[9].hash, engine="two"))
    assert found.epochs() == [epoch(1, 11, blocks[9].hash)]


def test_a_takeover_fences_the_first_engine_in_the_store(store: SqlStore, blocks: list[Block]) -> None:
    found = history(store)
    assert found.begin_epoch(epoch(1, 1, 0))
    store.append_blocks([stored(block) for block in blocks[:10]])
    assert found.begin_epoch(epoch(2, 11, blocks[9].hash, engine="two"))
    with pytest.raises(Fenced):
        store.append_blocks([stored(block) for block in blocks[10:12]])


class AwayStore(SqlStore):
    """A store whose first calls fail."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def epochs(self) -> list[Epoch]:
        if self.times:
            self.times -= 1
            raise StoreUnavailable("The database does not answer.")
        return super().epochs()


def test_a_temporary_outage_of_the_store_is_retried() -> None:
    waits: list[float] = []
    found = StoreHistory(AwayStore(4), lambda: iter(()), NO_CLAIM, sleep=waits.append)
    assert found.epochs() == []
    assert len(waits) == 4
    assert waits[0] < waits[-1]


def test_a_lasting_outage_of_the_store_is_reported_with_its_error() -> None:
    found = StoreHistory(AwayStore(10), lambda: iter(()), NO_CLAIM, patience_s=0)
    with pytest.raises(HistoryUnavailable, match=r"The database does not answer\."):
        found.epochs()


def test_the_watch_sees_a_newer_epoch_and_ignores_an_outage_of_the_store(store: SqlStore) -> None:
    away = AwayStore(1)
    watch = StoreWatch(away)
    watch.read(LAST)
    assert watch.newest is None
    store.begin_epoch(epoch(1, 1, 0))
    watch.read(LAST)
    assert watch.newest == epoch(1, 1, 0)
    away.times = 1
    watch.read(LAST)
    assert watch.newest == epoch(1, 1, 0), "what is known stays known"


def test_the_watch_reads_at_its_start_and_records_the_time(store: SqlStore) -> None:
    store.begin_epoch(epoch(1, 1, 0))
    times_s = iter((5.0, 7.0))
    away = AwayStore(0)
    watch = StoreWatch(away, every_s=3600, clock=lambda: next(times_s))
    assert watch.known_s == -math.inf
    with watch.running(lambda: LAST):
        until(lambda: watch.known_s == 5.0, "the first read")
    assert watch.newest == epoch(1, 1, 0)
    away.times = 1
    watch.read(LAST)
    assert watch.known_s == 5.0


def test_the_watch_reads_back_what_the_store_has_of_the_engines_blocks(store: SqlStore, blocks: list[Block]) -> None:
    watch = StoreWatch(store)
    watch.read(LAST)
    assert watch.stored is None
    store.append_blocks([stored(block) for block in blocks[:100]])
    watch.read(LAST)
    assert watch.stored == StoredUpTo(100, blocks[99].hash)
    watch.read(40)
    assert watch.stored == StoredUpTo(40, blocks[39].hash), "the engine lags behind settlement"
    watch.read(0)
    assert watch.stored is None


def test_a_history_gives_the_identity_of_its_store(store: SqlStore) -> None:
    assert history(store).store_identity() == store.identity()
