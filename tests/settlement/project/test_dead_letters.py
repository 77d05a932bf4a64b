"""Dead letters: rows that the store permanently rejects are kept and reported, later blocks are projected."""

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from matching.core.engine import Engine
from settlement import metrics
from settlement.audit import verify
from settlement.errors import CannotRun, NotReady
from settlement.project import dead_letters, projector
from settlement.project.dead_letters import FILE_NAME, DeadLetters, decode, encode
from settlement.project.projection import EmptyTables, Projector
from settlement.receive.chain import stored
from settlement.stores.base import Checkpoint, Projection, Store, StoreMisconfigured, StoreRejected, StoreUnavailable
from tests.matching.disks import FillingDisk
from tests.reference.streams import random_commands
from tests.settlement.chains import chain_of
from tests.settlement.conftest import ON_SQL, Settle, restarted, tables, trail_text
from tests.settlement.fakes import Crash, FakeClock, ScriptedFeed, Tripwires, feed_of, note_calls
from tests.settlement.rows import projection
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

        def insert(projection: Projection, *follows: Any, method: Callable[..., None] = method) -> None:
            if any(row.block_number in numbers for row in projection.ledger_events):
                raise StoreRejected("The database rejects the statement: a row is impossible.")
            method(projection, *follows)

        setattr(store, name, insert)


@pytest.fixture
def refusing(store: Store) -> Store:
    refuse(store, REFUSED)
    return store


def write_and_reject(store: Store) -> list[int]:
    """From now on `insert_batch` writes its rows and raises StoreRejected. Returns the list of such calls so far."""
    insert, calls = store.insert_batch, list[int]()

    def call(projection: Projection, follows: Checkpoint | None = None) -> None:
        insert(projection, follows)
        calls.append(len(calls))
        raise StoreRejected("The database rejects the statement: a trigger.")

    store.insert_batch = call  # type: ignore[method-assign]
    return calls


def accept_again(store: Store) -> None:
    del vars(store)["insert_batch"], vars(store)["insert_rows"]


@pytest.mark.parametrize("refused_first", [False, True])
def test_an_error_of_the_database_itself_stops_settlement_and_makes_no_dead_letter(
    store: Store, settle: Settle, clock: FakeClock, folder: Path, refused_first: bool
) -> None:
    """Also when it comes up while the blocks of a batch are tried one by one."""
    taken = store.insert_batch

    def insert(projection: Projection, follows: Checkpoint | None = None) -> None:
        numbers = {row.block_number for row in projection.ledger_events}
        if refused_first and len(numbers) > 1:
            raise StoreRejected("The database rejects the statement: a row is impossible.")
        if max(numbers, default=0) >= REFUSED:
            raise StoreMisconfigured("The database rejects the statement: permission denied for table balances.")
        taken(projection, follows)

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


def test_the_block_is_kept_and_reported_and_later_blocks_are_projected(
    refusing: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    settle(refusing, feed_of(clock, BLOCKS))
    assert refusing.projected().block_number == LAST
    (letter,) = refusing.dead_letters()
    assert (letter.id, letter.attempts, letter.error) == (
        REFUSED,
        1,
        "The database rejects the statement: a row is impossible.",
    )
    blocks = {trade.block_number for trade in refusing.get_trades_by_sequence_range(1, 10**9, 10**6)}
    assert REFUSED not in blocks
    assert max(blocks) > REFUSED
    (line,) = (folder / FILE_NAME).read_text().splitlines()
    assert json.loads(line)["block_number"] == REFUSED
    assert json.loads(line)["error"] == letter.error
    assert metrics.WORKER.get_sample_value("settlement_dead_letters") == 1


@pytest.mark.parametrize("kept_rows", [1, 10**6])
def test_after_a_replay_the_tables_are_as_without_the_rejection(
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
    assert letters.replay(letter) == "The database rejects the statement: a row is impossible."
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


@pytest.mark.parametrize("is_refused_again", [False, True])
def test_a_letter_is_not_replayed_before_the_checkpoint_has_passed_its_block(
    store: Store, settle: Settle, clock: FakeClock, folder: Path, is_refused_again: bool
) -> None:
    undisturbed = expected_rows(store, settle, clock, folder)
    refuse(store, REFUSED)
    Tripwires(at=1, after=True).wrap(store, ["put_dead_letter"])
    with pytest.raises(Crash):
        settle(store, feed_of(clock, BLOCKS))
    again = restarted(store)
    letters = DeadLetters(again, folder, clock)
    (letter,) = letters.unresolved()
    with pytest.raises(NotReady, match=rf"block {REFUSED} cannot be replayed yet.* only to block {REFUSED - 1}"):
        letters.replay(letter)
    if is_refused_again:
        refuse(again, REFUSED)
    settle(again, feed_of(clock, BLOCKS[again.appended().block_number :]))
    assert [letter.attempts for letter in letters.unresolved()] == [2] * is_refused_again
    if is_refused_again:
        accept_again(again)
        assert [letters.replay(letter) for letter in letters.unresolved()] == [None]
    assert again.dead_letters() == []
    assert (tables(again), trail_text(folder)) == undisturbed


@pytest.mark.parametrize("page", [1, 2, 1000])
def test_a_trail_that_is_written_again_has_the_lines_of_dead_letters_too(
    store: Store, settle: Settle, clock: FakeClock, folder: Path, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    """The first and the last trade of all are among them."""
    undisturbed = expected_rows(store, settle, clock, folder)
    with_trades = [row.number for row in map(stored, BLOCKS) if row.trade_count]
    refuse(store, with_trades[0], REFUSED, with_trades[-1])
    settle(store, feed_of(clock, BLOCKS))
    accept_again(store)
    assert trail_text(folder) == undisturbed[1]
    for path in folder.glob("settled_trades*.csv"):
        path.unlink()
    monkeypatch.setattr(projector, "_TRAIL_PAGE", page)
    settle(store, ScriptedFeed(clock, []))
    assert trail_text(folder) == undisturbed[1]
    letters = DeadLetters(store, folder, clock)
    assert [letters.replay(letter) for letter in letters.unresolved()] == [None] * 3
    settle(store, ScriptedFeed(clock, []))
    assert (tables(store), trail_text(folder)) == undisturbed


def told(folder: Path) -> list[dict[str, Any]]:
    """The file's lines; {} for one that was torn."""
    found = []
    for line in (folder / FILE_NAME).read_text().splitlines():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            found.append({})
    return found


def test_a_disk_that_is_full_is_waited_for_and_the_letter_counted_once(
    store: Store, settle: Settle, clock: FakeClock, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(store, REFUSED, REFUSED + 3)
    disk, tries = FillingDisk(), list[int]()

    def fill_and_make_room() -> None:
        tries.append(len(store.dead_letters()))
        disk.is_full = 1 < len(tries) < 5  # the first letter is kept; of the second try 3 to 5

    note_calls(store, "get_dead_letter", fill_and_make_room)
    monkeypatch.setattr(dead_letters, "LocalDisk", lambda: disk)
    settle(store, feed_of(clock, BLOCKS))
    assert store.projected().block_number == LAST
    assert tries == [0, 1, 1, 1, 1]
    assert [(letter.id, letter.attempts) for letter in store.dead_letters()] == [(REFUSED, 1), (REFUSED + 3, 1)]
    lines = told(folder)
    assert [line["block_number"] for line in lines if line] == [REFUSED, REFUSED + 3]
    assert lines[1:-1] == [{}] * 2


def test_a_replay_on_a_full_disk_can_be_done_again(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    refuse(store, REFUSED)
    settle(store, feed_of(clock, BLOCKS))
    accept_again(store)
    disk = FillingDisk()
    letters = DeadLetters(store, folder, clock, disk)
    (letter,) = letters.unresolved()
    disk.is_full = True
    with pytest.raises(StoreUnavailable, match="is full: make room"):
        letters.replay(letter)
    disk.is_full = False
    assert [letters.replay(letter) for letter in letters.unresolved()] == [None]
    assert store.dead_letters() == []
    first, torn, last = told(folder)
    assert (first["resolved_at_ns"], torn) == (None, {})
    assert last["resolved_at_ns"]


@ON_SQL
def test_a_replay_on_a_disk_that_fails_is_refused_in_a_sentence(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    refuse(store, REFUSED)
    settle(store, feed_of(clock, BLOCKS))
    accept_again(store)
    disk = FillingDisk(errno.EIO)
    letters = DeadLetters(store, folder, clock, disk)
    (letter,) = letters.unresolved()
    disk.is_full = True
    with pytest.raises(CannotRun, match=r"dead_letters.jsonl cannot be written: Input/output error\."):
        letters.replay(letter)
    assert [one.block_number for one in store.dead_letters()] == [REFUSED]


@ON_SQL
@pytest.mark.parametrize("batch_trades", [1, 5])
def test_rows_that_were_written_before_the_store_rejected_them_again_are_no_dead_letter(
    store: Store, settle: Settle, clock: FakeClock, folder: Path, batch_trades: int
) -> None:
    """As after a time-out: the first call has written the rows, the second one fails for another reason."""
    undisturbed = expected_rows(store, settle, clock, folder)
    rejections = write_and_reject(store)
    settle(store, feed_of(clock, BLOCKS), batch_trades=batch_trades)
    assert (tables(store), trail_text(folder)) == undisturbed
    assert store.dead_letters() == []
    assert len(rejections) > 1


@ON_SQL
def test_a_block_that_was_written_after_its_batch_was_rejected_is_no_dead_letter(
    store: Store, settle: Settle, clock: FakeClock, folder: Path
) -> None:
    undisturbed = expected_rows(store, settle, clock, folder)
    insert, calls = store.insert_batch, list[int]()

    def reject_then_write_and_reject(projection: Projection, follows: Checkpoint | None = None) -> None:
        calls.append(len(calls))
        if len(calls) > 1:
            insert(projection, follows)
        if len(calls) < 3:
            raise StoreRejected("The database rejects the statement: a trigger.")

    store.insert_batch = reject_then_write_and_reject  # type: ignore[method-assign]
    settle(store, feed_of(clock, BLOCKS))
    assert (tables(store), trail_text(folder)) == undisturbed
    assert store.dead_letters() == []


@pytest.mark.parametrize("end", ["", '{"block_number": 3, "err', '{"block_number": 3}\n'])
def test_a_line_is_complete_whatever_a_crash_has_left_before_it(
    store: Store, clock: FakeClock, folder: Path, end: str
) -> None:
    folder.mkdir()
    (folder / FILE_NAME).write_text(end)
    DeadLetters(store, folder, clock).put(projection(7), "It does not fit.")
    before, _, last = (folder / FILE_NAME).read_text()[:-1].rpartition("\n")
    assert before == end.rstrip("\n")
    assert json.loads(last)["block_number"] == 7


def test_a_projection_survives_its_json_form() -> None:
    made = Projector(EmptyTables(), kept=None).project(BLOCKS)
    assert decode(encode([made])) == [made]


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
    assert [letter.error for letter in store.dead_letters()] == ["The database rejects the statement: impossible."]
    assert store.projected().block_number == LAST
    settle(store, ScriptedFeed(clock, []))
