"""Large blocks, projected in slices of their events: the same rows as those of whole blocks, also after a crash."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from matching.core.engine import Engine
from settlement.audit import verify
from settlement.durable.spill import Spill
from settlement.errors import StoreReplaced
from settlement.options import Options
from settlement.project import dead_letters, rebuilding
from settlement.project.dead_letters import DeadLetters
from settlement.project.projection import EmptyTables, Projector, slices_of, trades_of
from settlement.project.trail import NAME, Trail
from settlement.receive.chain import stored
from settlement.stores.base import WHOLE, Slice, Store, StoreMisconfigured, StoreRejected
from settlement.stores.scylla.store import ScyllaStore
from settlement.stores.sql.store import SqlStore
from tests.reference.streams import random_commands
from tests.settlement.chains import Chain
from tests.settlement.conftest import ON_SQL, STORES, Settle, empty, restarted, settle_in, tables, trail_text
from tests.settlement.fakes import Crash, FakeClock, Tripwires, feed_of
from tests.settlement.stores.scylla.test_undo import Dying
from tests.settlement.test_crashes import STEPS

CHAIN = Chain(step_ns=10**9).add(*random_commands(7, 160, instruments=1, accounts=3, wild=False), block_size=70)
BLOCKS = CHAIN.blocks
LAST = BLOCKS[-1].number
LARGE = max(BLOCKS, key=lambda block: block.event_count)
SIZE = 13

assert LARGE.event_count > 4 * SIZE
assert LARGE.number < LAST


def settled_in_slices(
    store: Store, clock: FakeClock, folder: Path, size: int = SIZE, wires: Tripwires | None = None
) -> int:
    """As a process that starts, and is killed where the wires say."""
    store, feed = restarted(store), feed_of(clock, BLOCKS, per_arrival=4, announced=LAST, silent_after=20)
    folder.mkdir(exist_ok=True)
    trail = Trail(folder)
    try:
        for name, wrapped in (("feed", feed), ("store", store), ("trail", trail)):
            if wires is not None:
                wires.wrap(wrapped, [method for method in STEPS[name] if hasattr(wrapped, method)])
        options = Options(batch_trades=5, batch_events=25, slice_events=size, kept_rows=2)
        spill = Spill(folder / "spill", 1 << 20)
        return settle_in(folder, store, feed, clock, trail=trail, spill=spill, options=options)
    finally:
        trail.close()


@pytest.fixture
def expected(store: Store, settle: Settle, clock: FakeClock, folder: Path) -> tuple[Any, Any]:
    """Tables and trail of a settlement that slices nothing; the store is empty again."""
    settle(store, feed_of(clock, BLOCKS))
    found = tables(store), trail_text(folder)
    empty(store)
    return found


def until_within(store: Store, parts: int) -> None:
    """Projects the blocks before the large one, and so many slices of it."""
    store.append_blocks([stored(block) for block in BLOCKS])
    projector = Projector(store.at_checkpoint(), kept=None, includes_before=not store.is_atomic)
    for block in BLOCKS[: LARGE.number - 1]:
        store.insert_batch(projector.project([block]))
    for part, _ in zip(slices_of(LARGE, SIZE), range(parts), strict=False):
        store.insert_batch(projector.project([LARGE], part), store.projected())


# Cutting


def test_slices_follow_on_each_other_and_end_with_the_block() -> None:
    parts = list(slices_of(LARGE, SIZE))
    first, last = LARGE.first_event_sequence, LARGE.last_event_sequence
    ends = [0, *range(first + SIZE - 1, last, SIZE), 0]
    assert parts == [Slice(after, through) for after, through in pairwise(ends)]
    assert list(slices_of(LARGE, SIZE, after=parts[2].after)) == parts[2:]
    assert list(slices_of(LARGE, SIZE, after=parts[2].after + 3))[1:] == parts[3:], "the ends stay"
    assert list(slices_of(LARGE, LARGE.event_count)) == [WHOLE]
    assert list(slices_of(Chain().end_block(), 1)) == [WHOLE], "a block without events"


@pytest.mark.parametrize("size", [1, 2, SIZE, 1000])
def test_slices_give_the_rows_of_the_whole_block(size: int) -> None:
    one, other = (Projector(EmptyTables(), kept=None) for _ in range(2))
    for block in BLOCKS:
        whole = one.project([block])
        parts = [other.project([block], part) for part in slices_of(block, size)]
        for name in ("trades", "ledger_events", "definitions"):
            assert [row for part in parts for row in getattr(part, name)] == list(getattr(whole, name))
        for name, key in (("orders", 1), ("balances", 2), ("candles", 2), ("days", 1)):
            last = {row[:key]: row for part in parts for row in getattr(part, name)}
            assert sorted(last.values()) == sorted(getattr(whole, name))
        assert {part.checkpoint for part in parts} == {whole.checkpoint}
        assert trades_of(block, other.registry) == list(whole.trades)
    assert one.base(whole.checkpoint) == other.base(whole.checkpoint)


# Settling


@pytest.mark.parametrize("size", [SIZE, 40])
def test_a_chain_that_is_settled_in_slices_leaves_the_same_tables_and_trail(
    store: Store, clock: FakeClock, tmp_path: Path, expected: tuple[Any, Any], size: int
) -> None:
    folder = tmp_path / "slices"
    assert settled_in_slices(store, clock, folder, size) == LAST
    assert (tables(store), trail_text(folder)) == expected
    assert (store.projected_within(), store.projecting()) == (0, LAST)


@ON_SQL
@pytest.mark.parametrize("after", [False, True])
def test_a_crash_at_any_step_between_slices_leaves_the_same_tables_and_trail(
    store: Store, clock: FakeClock, tmp_path: Path, expected: tuple[Any, Any], after: bool
) -> None:
    step = 0
    while True:
        step += 3
        empty(store)
        folder = tmp_path / str(step)
        try:
            settled_in_slices(store, clock, folder, wires=Tripwires(at=step, after=after))
        except Crash:
            settled_in_slices(store, clock, folder)
        else:
            break
        assert (tables(store), trail_text(folder)) == expected, f"crash at call {step}"
    assert step > 50


@pytest.mark.slow
@pytest.mark.services("cassandra")
@pytest.mark.django_db
@pytest.mark.parametrize(("is_reversed", "sizes"), [(True, (SIZE, SIZE)), (False, (7, 40))])
def test_a_crash_at_any_request_of_a_slice_leaves_the_same_tables(
    new_scylla: Callable[[], ScyllaStore], clock: FakeClock, tmp_path: Path, is_reversed: bool, sizes: tuple[int, int]
) -> None:
    """Also where the slices are cut otherwise afterwards."""
    undisturbed = new_scylla()
    settled_in_slices(undisturbed, clock, tmp_path / "undisturbed", 1000)
    wanted = tables(undisturbed)
    for at in range(15, 220, 12):
        store = new_scylla()
        until_within(store, 1)
        dying = restarted(store)
        assert isinstance(dying, ScyllaStore)
        Dying(dying, at, is_reversed)
        options = Options(slice_events=sizes[0], kept_rows=2)
        with pytest.raises(Crash):
            rebuild_rest(dying, clock, tmp_path / f"{at}", options)
        assert store.projecting() >= LARGE.number
        rebuild_rest(restarted(store), clock, tmp_path / f"{at}", Options(slice_events=sizes[1], kept_rows=2))
        assert tables(store) == wanted, f"crash at request {at}"


def rebuild_rest(store: Store, clock: FakeClock, folder: Path, options: Options) -> None:
    """Projects what is appended."""
    folder.mkdir(exist_ok=True)
    trail = Trail(folder)
    try:
        letters = DeadLetters(store, folder, clock)
        rebuilding.rebuild(
            store, trail=trail, letters=letters, clock=clock, stop=lambda: False, options=options, from_block=LAST + 1
        )
    finally:
        trail.close()


# Between two slices


def test_between_slices_the_checkpoint_stays_and_readers_are_told_that_rows_are_ahead(store: Store) -> None:
    until_within(store, 3)
    for one in (store, restarted(store)):
        assert one.projected().block_number == LARGE.number - 1
        assert one.projected_within() == LARGE.first_event_sequence + 3 * SIZE - 1
        assert one.projecting() == LARGE.number


def test_verification_between_slices_finds_nothing(
    store: Store, clock: FakeClock, tmp_path: Path, expected: tuple[Any, Any]
) -> None:
    until_within(store, 3)
    folder = tmp_path / "verified"
    rebuild_lines(store, clock, folder)
    report = verify.verify(restarted(store), folder, Engine())
    assert (report.differences, report.to_block) == ([], LARGE.number - 1)


def rebuild_lines(store: Store, clock: FakeClock, folder: Path) -> None:
    """The trail of what is projected, in a new folder."""
    folder.mkdir(exist_ok=True)
    trail = Trail(folder)
    try:
        letters = DeadLetters(store, folder, clock)
        rebuilding.rebuild(
            store,
            trail=trail,
            letters=letters,
            clock=clock,
            stop=lambda: True,
            options=Options(slice_events=SIZE),
            from_block=LAST + 1,
        )
    finally:
        trail.close()


def test_a_trail_that_is_taken_away_between_slices_is_written_again(
    store: Store, clock: FakeClock, tmp_path: Path, expected: tuple[Any, Any]
) -> None:
    until_within(store, 4)
    assert settled_in_slices(store, clock, tmp_path / "new") == 0
    assert (tables(store), trail_text(tmp_path / "new")) == expected
    assert (tmp_path / "new" / NAME).exists()


@ON_SQL
def test_a_store_that_is_put_back_between_slices_is_refused(store: Store) -> None:
    until_within(store, 2)
    projector = Projector(store.at_checkpoint(), store.definitions(), kept=None)
    parts = list(slices_of(LARGE, SIZE))
    projector.project([LARGE], parts[2])
    fourth = projector.project([LARGE], parts[3])
    with pytest.raises(StoreReplaced, match=f"projected to event {parts[1].through} of it"):
        store.insert_batch(fourth, store.projected())


@pytest.mark.parametrize("store", STORES, indirect=True)
def test_slices_that_are_written_again_change_nothing(store: Store) -> None:
    projector = Projector(EmptyTables(), kept=None, includes_before=not store.is_atomic)
    store.append_blocks([stored(block) for block in BLOCKS])
    for block in BLOCKS:
        for part in slices_of(block, SIZE):
            batch, follows = projector.project([block], part), store.projected()
            store.insert_batch(batch, follows)
            known = tables(store)
            within = store.projected_within()
            store.insert_batch(batch, follows)
            assert store.projected_within() == within
            if block is LARGE:
                assert tables(store) == known


def test_dropping_projections_between_slices_begins_again(
    store: Store, clock: FakeClock, tmp_path: Path, expected: tuple[Any, Any]
) -> None:
    for first_block in (LARGE.number, 1):
        empty(store)
        until_within(store, 3)
        folder = tmp_path / str(first_block)
        folder.mkdir()
        trail, letters = Trail(folder), DeadLetters(store, folder, clock)
        options = Options(slice_events=SIZE, kept_rows=2)
        rebuilding.rebuild(
            restarted(store),
            trail=trail,
            letters=letters,
            clock=clock,
            stop=lambda: False,
            options=options,
            from_block=first_block,
        )
        trail.close()
        assert (tables(store), trail_text(folder)) == expected


# Refused


class Refusing:
    """The store refuses the rows of these slices of the large block."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *refused: Slice) -> None:
        self.refused = refused
        insert = SqlStore._put_rows

        def put(store: SqlStore, projection: Any) -> None:
            if projection.slice in self.refused and projection.ledger_events:
                raise StoreRejected("The database rejects the statement: a trigger.")
            insert(store, projection)

        monkeypatch.setattr(SqlStore, "_put_rows", put)


@ON_SQL
@pytest.mark.parametrize("places", [(0,), (2, 3), (-1,), (0, 2, -1)])
def test_slices_that_the_store_refuses_are_one_dead_letter_whose_replay_gives_all_rows(
    store: Store,
    clock: FakeClock,
    tmp_path: Path,
    expected: tuple[Any, Any],
    monkeypatch: pytest.MonkeyPatch,
    places: tuple[int, ...],
) -> None:
    parts, folder = list(slices_of(LARGE, SIZE)), tmp_path / "refused"
    refusing = Refusing(monkeypatch, *(parts[place] for place in places))
    assert settled_in_slices(store, clock, folder) == LAST
    (letter,) = store.dead_letters()
    assert (letter.block_number, letter.attempts) == (LARGE.number, len(places))
    refusing.refused = ()
    letters = DeadLetters(store, folder, clock)
    assert [letters.replay(one) for one in letters.unresolved()] == [None]
    assert (tables(store), trail_text(folder)) == expected


@ON_SQL
def test_slices_that_were_written_before_the_store_rejected_them_again_are_no_dead_letter(
    store: Store, clock: FakeClock, tmp_path: Path, expected: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    insert, folder = SqlStore.insert_batch, tmp_path / "written"

    def write_and_reject(*arguments: Any) -> None:
        insert(*arguments)
        raise StoreRejected("The database rejects the statement: a trigger.")

    monkeypatch.setattr(SqlStore, "insert_batch", write_and_reject)
    assert settled_in_slices(store, clock, folder) == LAST
    assert store.dead_letters() == []
    assert (tables(store), trail_text(folder)) == expected


@ON_SQL
def test_a_slice_that_a_wrong_set_up_rejects_stops_settlement_and_makes_no_dead_letter(
    store: Store, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert = SqlStore.insert_batch

    def miss_a_column(one: SqlStore, projection: Any, *more: Any) -> None:
        if projection.slice.after:
            raise StoreMisconfigured("The table orders has no column filled.")
        insert(one, projection, *more)

    monkeypatch.setattr(SqlStore, "insert_batch", miss_a_column)
    with pytest.raises(StoreMisconfigured):
        settled_in_slices(store, clock, tmp_path / "wrong")
    assert store.dead_letters() == []
    sliced = next(block for block in BLOCKS if block.event_count > SIZE)
    assert store.projected().block_number == sliced.number - 1


@ON_SQL
def test_a_crash_at_any_step_among_refused_slices_loses_none_of_their_rows(
    store: Store, clock: FakeClock, tmp_path: Path, expected: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = list(slices_of(LARGE, SIZE))
    refusing = Refusing(monkeypatch)
    for step in range(1, 400, 7):
        empty(store)
        refusing.refused = (parts[1], parts[3])
        folder = tmp_path / str(step)
        try:
            settled_in_slices(store, clock, folder, wires=Tripwires(at=step, after=bool(step % 2)))
        except Crash:
            settled_in_slices(store, clock, folder)
        refusing.refused = ()
        letters = DeadLetters(store, folder, clock)
        assert [letters.replay(one) for one in letters.unresolved()] == [None]
        assert (tables(store), trail_text(folder)) == expected, f"crash at call {step}"


@ON_SQL
def test_more_rejected_rows_than_a_letter_may_have_stop_settlement_until_the_cause_is_fixed(
    store: Store, clock: FakeClock, tmp_path: Path, expected: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, folder = list(slices_of(LARGE, SIZE)), tmp_path / "refused"
    refusing = Refusing(monkeypatch, parts[2])
    with monkeypatch.context() as patch:
        patch.setattr(dead_letters, "MAX_BYTES", 100)
        for _ in range(2):
            with pytest.raises(StoreMisconfigured, match=rf"more rows of block {LARGE.number} than .* a trigger"):
                settled_in_slices(store, clock, folder)
    assert store.projected_within() == parts[2].after
    refusing.refused = ()
    settled_in_slices(store, clock, folder)
    assert (tables(store), trail_text(folder)) == expected
    assert store.dead_letters() == []
