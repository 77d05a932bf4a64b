"""A projection that the store refuses for good: kept, told, gone on without, and written later."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection
from prometheus_client import REGISTRY

from matching.engine import Engine
from settlement import verify
from settlement.dead_letters import FILE_NAME, DeadLetters, decode, encode
from settlement.projection import EmptyTables, Projector
from settlement.stores.base import Projection, Store, StoreMisconfigured, StoreRejected
from tests.reference.streams import random_commands
from tests.settlement.chains import chain_of
from tests.settlement.conftest import ON_SQL, Settle, tables, trail_text
from tests.settlement.fakes import FakeClock, ScriptedFeed, feed_of
from tests.settlement.test_worker import expected_rows

CHAIN = chain_of(random_commands(5, 160, instruments=1, accounts=4, wild=False), 12)
BLOCKS = CHAIN.blocks
LAST = BLOCKS[-1].number
REFUSED = 8
"""A block in the middle, with trades."""


def refuse(store: Store, *numbers: int) -> None:
    """The store refuses every batch with rows of these blocks."""
    for name in ("insert_batch", "insert_rows"):
        method = getattr(store, name)

        def insert(projection: Projection, method: Callable[[Projection], None] = method) -> None:
            if any(row.block_number in numbers for row in projection.ledger_events):
                raise StoreRejected("The database refuses it: a row is impossible.")
            method(projection)

        setattr(store, name, insert)


@pytest.fixture
def refusing(store: Store) -> Store:
    refuse(store, REFUSED)
    return store


def accept_again(store: Store) -> None:
    del vars(store)["insert_batch"], vars(store)["insert_rows"]


@pytest.mark.parametrize("refused_first", [False, True])
def test_what_is_wrong_with_the_database_stops_settlement_and_is_no_dead_letter(
    store: Store, settle: Settle, clock: FakeClock, folder: Path, refused_first: bool
) -> None:
    """Also when it comes up while the blocks of a batch are tried one by one."""
    taken = store.insert_batch

    def insert(projection: Projection) -> None:
        numbers = {row.block_number for row in projection.ledger_events}
        if refused_first and len(numbers) > 1:
            raise StoreRejected("The database refuses it: a row is impossible.")
        if max(numbers, default=0) >= REFUSED:
            raise StoreMisconfigured("The database refuses it: permission denied for table balances.")
        taken(projection)

    store.insert_batch = insert  # type: ignore[method-assign]
    for _ in range(2):
        with pytest.raises(StoreMisconfigured):
            settle(store, feed_of(clock, BLOCKS[store.appended().block_number :]))
        assert list(store.dead_letters()) == []
        assert store.projected().block_number < REFUSED
    del vars(store)["insert_batch"]
    settle(store, feed_of(clock, BLOCKS[store.appended().block_number :]))
    report = verify.verify(store, folder, Engine())
    assert (report.differences, report.to_block) == ([], LAST)


def test_the_block_is_kept_and_told_and_the_others_go_on(
    refusing: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    settle(refusing, feed_of(clock, BLOCKS))
    assert refusing.projected().block_number == LAST
    (letter,) = refusing.dead_letters()
    assert (letter.id, letter.attempts, letter.error) == (REFUSED, 1, "The database refuses it: a row is impossible.")
    blocks = {trade.block_number for trade in refusing.get_trades_by_sequence_range(1, 10**9, 10**6)}
    assert REFUSED not in blocks
    assert max(blocks) > REFUSED
    (line,) = (folder / FILE_NAME).read_text().splitlines()
    assert json.loads(line)["block_number"] == REFUSED
    assert json.loads(line)["error"] == letter.error
    assert REGISTRY.get_sample_value("settlement_dead_letters") == 1


@pytest.mark.parametrize("kept_rows", [1, 10**6])
def test_a_replay_makes_the_tables_what_they_would_have_been(
    store: Store, settle: Settle, clock: FakeClock, folder: Path, kept_rows: int
) -> None:
    undisturbed = expected_rows(store, settle, clock, folder)
    refuse(store, REFUSED, REFUSED + 3)
    settle(store, feed_of(clock, BLOCKS, per_arrival=1), kept_rows=kept_rows, batch_trades=1)
    accept_again(store)
    letters = DeadLetters(store, folder, clock)
    assert [letters.replay(letter) for letter in letters.unresolved()] == [None, None]
    assert (tables(store), trail_text(folder)) == undisturbed
    assert store.dead_letters() == []
    assert all(letter.resolved_at_ns for letter in store.dead_letters(unresolved_only=False))
    assert verify.verify(store, folder, Engine()).differences == []


@pytest.mark.parametrize("resumes_at", [REFUSED, REFUSED + 1, LAST - 1])
def test_what_comes_after_a_restart_builds_on_the_rows_that_were_refused(
    store: Store, settle: Settle, clock: FakeClock, folder: Path, resumes_at: int
) -> None:
    undisturbed = expected_rows(store, settle, clock, folder)
    refuse(store, REFUSED)
    settle(store, feed_of(clock, BLOCKS), until_block=resumes_at)
    settle(store, feed_of(clock, BLOCKS, announced=LAST))
    accept_again(store)
    letters = DeadLetters(store, folder, clock)
    for letter in letters.unresolved():
        letters.replay(letter)
    assert (tables(store), trail_text(folder)) == undisturbed


def test_a_replay_that_is_refused_again_is_counted(
    refusing: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    settle(refusing, feed_of(clock, BLOCKS))
    letters = DeadLetters(refusing, folder, clock)
    (letter,) = letters.unresolved()
    assert letters.replay(letter) == "The database refuses it: a row is impossible."
    (again,) = letters.unresolved()
    assert again.attempts == 2
    assert again.first_failed_at_ns == letter.first_failed_at_ns < again.last_failed_at_ns
    assert len((folder / FILE_NAME).read_text().splitlines()) == 2


def test_a_replay_is_safe_twice(store: Store, settle: Settle, clock: FakeClock, folder: Path) -> None:
    refuse(store, REFUSED)
    settle(store, feed_of(clock, BLOCKS))
    accept_again(store)
    letters = DeadLetters(store, folder, clock)
    (letter,) = letters.unresolved()
    letters.replay(letter)
    before = tables(store)
    letters.replay(letter)
    resolved = store.get_dead_letter(REFUSED)
    assert resolved is not None
    assert letters.replay(resolved) is None
    assert tables(store) == before


def test_a_projection_survives_its_json_form() -> None:
    projection = Projector(EmptyTables(), kept=None).project(BLOCKS)
    assert decode(encode(projection)) == projection


@ON_SQL
@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="the trigger is written in SQLite's words")
def test_a_row_that_the_database_itself_refuses_becomes_a_dead_letter(
    store: Store, settle: Settle, clock: FakeClock
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TRIGGER refusal BEFORE INSERT ON ledger_events WHEN NEW.block_number = 8 "
            "BEGIN SELECT RAISE(ABORT, 'impossible'); END"
        )
    settle(store, feed_of(clock, BLOCKS))
    assert [letter.error for letter in store.dead_letters()] == ["The database refuses it: impossible."]
    assert store.projected().block_number == LAST
    settle(store, ScriptedFeed(clock, []))
