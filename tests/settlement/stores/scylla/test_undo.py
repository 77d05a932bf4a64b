"""Undo records: a batch of rows that is interrupted half-way on a store without transactions, and the next batch."""

import random
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from matching.core.engine import Engine
from settlement.audit import verify
from settlement.project.projection import EmptyTables, Projector
from settlement.receive.chain import stored
from settlement.stores.base import Checkpoint, StoreUnavailable
from settlement.stores.scylla.batches import PackedBatch
from settlement.stores.scylla.store import ScyllaStore
from settlement.stores.scylla.write import undo
from settlement.stores.scylla.write.undo import Overlay
from tests.reference.streams import random_commands
from tests.settlement.chains import Chain
from tests.settlement.conftest import Settle, restarted, tables
from tests.settlement.fakes import Crash, FakeClock, feed_of
from tests.settlement.rows import balance, order, projection

pytestmark = [pytest.mark.services("cassandra"), pytest.mark.django_db]

BLOCKS = Chain(step_ns=10**9).add(*random_commands(5, 90, instruments=1, accounts=3, wild=False), block_size=8).blocks
SOUND, CUT_OFF = 4, 9
"""The batch that dies is of the blocks after the first and to the second."""


def project(store: ScyllaStore, last: int, at_once: int) -> None:
    """As settlement does when it starts, with a projector that remembers next to nothing."""
    projector = Projector(store.at_checkpoint(), store.definitions(), kept=1, includes_before=True)
    number = store.projected().block_number
    while number < last:
        blocks = BLOCKS[number : min(number + at_once, last)]
        store.insert_batch(projector.project(blocks))
        number = blocks[-1].number


def begun(new_scylla: Callable[[], ScyllaStore]) -> ScyllaStore:
    store = new_scylla()
    store.append_blocks([stored(block) for block in BLOCKS])
    project(store, SOUND, SOUND)
    return store


def again(store: ScyllaStore) -> ScyllaStore:
    found = restarted(store)
    assert isinstance(found, ScyllaStore)
    return found


class Dying:
    """The process dies when it makes request number `at`; the batches of a call go out in another order."""

    def __init__(self, store: ScyllaStore, at: int, is_reversed: bool) -> None:
        self.count = 0
        self.at = at
        session = store._session
        send, sent, asked = session.send, session._send_batch, session._request

        def shuffled(batches: Iterable[PackedBatch], in_flight: int | None = None) -> None:
            send(list(batches)[::-1] if is_reversed else batches, in_flight)

        session.send = shuffled  # type: ignore[method-assign]
        session._send_batch = self._tripping(sent)  # type: ignore[method-assign]
        session._request = self._tripping(asked)  # type: ignore[method-assign]

    def _tripping(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            if self.count == self.at:
                raise Crash
            return method(*arguments, **options)

        return call


def undisturbed(new_scylla: Callable[[], ScyllaStore]) -> dict[str, Any]:
    store = begun(new_scylla)
    project(store, len(BLOCKS), 3)
    return tables(store)


@pytest.mark.slow
@pytest.mark.parametrize(("at_once", "is_reversed", "every"), [(2, True, 1), (1, False, 3), (7, False, 3)])
def test_a_crash_at_any_request_of_a_batch_and_other_batches_after_it_give_the_same_rows(
    new_scylla: Callable[[], ScyllaStore], at_once: int, is_reversed: bool, every: int
) -> None:
    wanted = undisturbed(new_scylla)
    at = 0
    while True:
        at += every
        store = begun(new_scylla)
        dying = again(store)
        wires = Dying(dying, at, is_reversed)
        try:
            project(dying, CUT_OFF, CUT_OFF)
        except Crash:
            pass
        else:
            break
        survivor = again(store)
        project(survivor, len(BLOCKS), at_once)
        assert tables(survivor) == wanted, f"crash at request {at}"
    assert wires.count > 20


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_a_crash_while_a_batch_that_had_died_is_written_again_gives_the_same_rows(
    new_scylla: Callable[[], ScyllaStore], at_once: int
) -> None:
    wanted = undisturbed(new_scylla)
    for at in range(6, 70, 4):
        store = begun(new_scylla)
        die_before_the_checkpoint(store)
        for size in (at_once, 2):
            dying = again(store)
            Dying(dying, at, is_reversed=bool(at % 8))
            with pytest.raises(Crash):
                project(dying, len(BLOCKS), size)
        survivor = again(store)
        project(survivor, len(BLOCKS), 4)
        assert tables(survivor) == wanted, f"crash at request {at}"


def test_a_batch_that_timed_out_half_way_is_written_again_by_the_same_store(
    new_scylla: Callable[[], ScyllaStore],
) -> None:
    wanted = undisturbed(new_scylla)
    store = begun(new_scylla)
    projector = Projector(store.at_checkpoint(), store.definitions(), kept=1, includes_before=True)
    batch = projector.project(BLOCKS[SOUND:CUT_OFF])
    sent, count = store._session._send_batch, 0

    def away(batch: PackedBatch) -> Any:
        nonlocal count
        count += 1
        if count in (9, 20):
            raise StoreUnavailable("no answer")
        return sent(batch)

    store._session._send_batch = away  # type: ignore[method-assign]
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            store.insert_batch(batch)
        assert store.projecting() == CUT_OFF
        assert store.projected().block_number == SOUND
    store.insert_batch(batch)
    assert store.projecting() == CUT_OFF
    project(store, len(BLOCKS), 2)
    assert tables(store) == wanted


def test_readers_are_told_that_rows_may_be_ahead(new_scylla: Callable[[], ScyllaStore]) -> None:
    store = begun(new_scylla)
    assert store.projecting() == SOUND
    dying = again(store)
    Dying(dying, 45, is_reversed=False)
    with pytest.raises(Crash):
        project(dying, CUT_OFF, CUT_OFF)
    assert (store.projected().block_number, store.projecting()) == (SOUND, CUT_OFF)


def test_a_record_that_was_cut_off_leaves_the_one_before_it(
    new_scylla: Callable[[], ScyllaStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is in many pieces here."""
    monkeypatch.setattr(undo, "CHUNK_BYTES", 50)
    store = new_scylla()
    whole = Overlay(7, orders={n: order(n) for n in range(9)}, balances={(1, "BTC"): balance(1), (2, "BTC"): None})
    store._undo.write(0, SOUND, whole, SOUND)
    dying = again(store)
    Dying(dying, at=9, is_reversed=False)
    with pytest.raises(Crash):
        dying._undo.write(0, SOUND, Overlay(9, orders={n: order(n, filled=n) for n in range(9)}), SOUND)
    assert dying._undo._written_us > store._undo._written_us, "it has begun"
    assert again(store)._undo.read(0, SOUND) == whole
    assert again(store)._undo.read(0, SOUND + 1) is None
    assert again(store)._undo.read(1, SOUND) is None


def test_a_record_that_is_cut_off_time_and_again_leaves_the_one_before_it(
    new_scylla: Callable[[], ScyllaStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same process tries it each time, and is killed in the end."""
    monkeypatch.setattr(undo, "CHUNK_BYTES", 50)
    store = new_scylla()
    whole = Overlay(7, orders={n: order(n) for n in range(9)})
    store._undo.write(0, SOUND, whole, SOUND)
    sent, count = store._session._send_batch, 0

    def away(batch: PackedBatch) -> Any:
        nonlocal count
        count += 1
        if count % 3 == 0:
            raise StoreUnavailable("no answer")
        return sent(batch)

    store._session._send_batch = away  # type: ignore[method-assign]
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            store._undo.write(0, SOUND, Overlay(9, orders=whole.orders), SOUND)
    assert again(store)._undo.read(0, SOUND) == whole


def test_a_record_of_a_later_block_leaves_that_of_the_checkpoint_when_it_is_written_again(
    new_scylla: Callable[[], ScyllaStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(undo, "CHUNK_BYTES", 50)
    store = new_scylla()
    whole = Overlay(9, orders={n: order(n) for n in range(9)})
    store._undo.write(0, SOUND, whole, SOUND)
    store._undo.write(0, SOUND + 2, Overlay(9, orders={n: order(n, filled=n) for n in range(9)}), SOUND)
    for size in (10, 11):
        dying = again(store)
        Dying(dying, at=9, is_reversed=False)
        with pytest.raises(Crash):
            dying._undo.write(0, SOUND, Overlay(size, orders={n: order(n) for n in range(size)}), SOUND)
        assert again(store)._undo.read(0, SOUND) == whole


def test_a_record_that_is_there_whole_is_not_written_again(new_scylla: Callable[[], ScyllaStore]) -> None:
    """Both slots may be needed: the write of a checkpoint that had no answer may be done all the same."""
    store = new_scylla()
    before, after = Overlay(9, orders={1: order(1)}), Overlay(9, orders={1: order(1, filled=1)})
    store._undo.write(0, SOUND, before, SOUND)
    store._undo.write(0, SOUND + 2, after, SOUND)
    for same in (store, again(store)):
        assert same._undo.batches(0, SOUND, before, SOUND) == []
        assert same._undo.batches(0, SOUND + 2, after, SOUND) == []
        assert (same._undo.read(0, SOUND), same._undo.read(0, SOUND + 2)) == (before, after)


@pytest.mark.parametrize("last", [SOUND + 2, CUT_OFF + 2])
@pytest.mark.parametrize("chunk", [1, 2, 5])
def test_a_retry_that_is_interrupted_in_its_record_leaves_the_valid_record(
    new_scylla: Callable[[], ScyllaStore], monkeypatch: pytest.MonkeyPatch, last: int, chunk: int
) -> None:
    """After a large batch that died comes another one, whose checkpoint is not taken; its second try dies too."""
    wanted = undisturbed(new_scylla)
    monkeypatch.setattr(undo, "CHUNK_BYTES", 200)
    store = begun(new_scylla)
    die_before_the_checkpoint(store)
    survivor = again(store)
    projector = Projector(survivor.at_checkpoint(), survivor.definitions(), kept=1, includes_before=True)
    batch = projector.project(BLOCKS[SOUND:last])
    survivor._put_projected = raising(StoreUnavailable("no answer"))  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        survivor.insert_batch(batch)
    survivor._put_projected = raising(Crash())  # type: ignore[method-assign]
    sent, count = survivor._session._send_batch, 0

    def cut(batch: PackedBatch) -> Any:
        nonlocal count
        count += "projection_undo" in batch.name
        if count > chunk:
            raise Crash
        return sent(batch)

    survivor._session._send_batch = cut  # type: ignore[method-assign]
    with pytest.raises(Crash):
        survivor.insert_batch(batch)
    project(again(store), len(BLOCKS), 3)
    assert tables(store) == wanted


def raising(error: BaseException) -> Callable[..., None]:
    def call(*arguments: object) -> None:
        raise error

    return call


def test_a_checkpoint_that_was_written_without_an_answer_leaves_the_record_true(
    new_scylla: Callable[[], ScyllaStore],
) -> None:
    """The batch is tried again, and then the process dies with the rest of what had died before still to come."""
    wanted = undisturbed(new_scylla)
    store = begun(new_scylla)
    die_before_the_checkpoint(store)
    survivor = again(store)
    projector = Projector(survivor.at_checkpoint(), survivor.definitions(), kept=1, includes_before=True)
    batch = projector.project(BLOCKS[SOUND : SOUND + 2])
    put, write = survivor._put_projected, survivor._undo.write

    def unanswered(checkpoint: Checkpoint, generation: int) -> None:
        put(checkpoint, generation)
        raise StoreUnavailable("no answer")

    def die(generation: int, after_block: int, overlay: Overlay, checkpoint: int) -> None:
        raise Crash

    survivor._put_projected = unanswered  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        survivor.insert_batch(batch)
    survivor._undo.write = die  # type: ignore[method-assign]
    with suppress(Crash):
        survivor.insert_batch(batch)
    survivor._put_projected, survivor._undo.write = put, write  # type: ignore[method-assign]
    project(again(store), len(BLOCKS), 3)
    assert tables(store) == wanted


@pytest.mark.parametrize("at", [3, 10])
def test_a_checkpoint_that_appears_late_gives_no_wrong_answer(
    new_scylla: Callable[[], ScyllaStore], settle: Settle, clock: FakeClock, folder: Path, at: int
) -> None:
    """Its write had no answer, and comes to light while the next process has written more blocks, and dies."""
    store, late = new_scylla(), []

    def unanswered(checkpoint: Checkpoint, generation: int) -> None:
        late.append((checkpoint, generation))
        raise Crash

    dying = again(store)
    dying._put_projected = unanswered  # type: ignore[method-assign]
    with pytest.raises(Crash):
        settle(dying, feed_of(clock, BLOCKS[:CUT_OFF]), batch_trades=10**6)
    number = late[0][0].block_number

    survivor = again(store)
    sent, count = survivor._session._send_batch, 0

    def cut(batch: PackedBatch) -> Any:
        nonlocal count
        count += "projected tables" in batch.name
        if count == at:
            again(store)._put_projected(*late[0])
            raise Crash
        return sent(batch)

    survivor._session._send_batch = cut  # type: ignore[method-assign]
    with pytest.raises(Crash):
        settle(survivor, feed_of(clock, BLOCKS[store.appended().block_number :]), batch_trades=10**6)
    assert store.projected().block_number == number

    settle(again(store), feed_of(clock, BLOCKS[store.appended().block_number :]), batch_trades=10**6)
    report = verify.verify(store, folder, Engine())
    assert (report.differences, report.to_block) == ([], len(BLOCKS))


def die_before_the_checkpoint(store: ScyllaStore) -> None:
    """All rows of the batch are there."""
    dying = again(store)

    def die(checkpoint: Checkpoint, generation: int) -> None:
        raise Crash

    dying._put_projected = die  # type: ignore[method-assign]
    with pytest.raises(Crash):
        project(dying, CUT_OFF, CUT_OFF)


@pytest.mark.parametrize("redone", range(1, CUT_OFF - SOUND + 1))
def test_the_rest_of_a_batch_that_died_is_written_by_a_third_process(
    new_scylla: Callable[[], ScyllaStore], redone: int
) -> None:
    wanted = undisturbed(new_scylla)
    store = begun(new_scylla)
    die_before_the_checkpoint(store)
    project(again(store), SOUND + redone, 1)
    project(again(store), len(BLOCKS), 3)
    assert tables(store) == wanted


@pytest.mark.parametrize("seed", range(3))
def test_rows_in_any_order_and_twice_end_in_the_same_rows(new_scylla: Callable[[], ScyllaStore], seed: int) -> None:
    wanted = undisturbed(new_scylla)
    projector = Projector(EmptyTables(), kept=None)
    batches = [projector.project([block]) for block in BLOCKS] * 2
    random.Random(seed).shuffle(batches)
    store = new_scylla()
    store.append_blocks([stored(block) for block in BLOCKS])
    for batch in batches:
        store.insert_rows(batch)
    store.insert_batch(projection()._replace(checkpoint=wanted["checkpoints"][1]))
    assert tables(store) == wanted
