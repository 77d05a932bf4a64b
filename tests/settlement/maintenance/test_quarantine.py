"""Blocks of another engine are taken out of the chain and kept, on every store; the true engine's take their place."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.core.epochs import Epoch
from settlement.audit import verify
from settlement.errors import ChainConflict, NotReady
from settlement.maintenance import filling, quarantine
from settlement.maintenance.quarantine import Done
from settlement.project import rebuilding, trail_cut
from settlement.project.trail import lines_of
from settlement.receive.chain import stored
from settlement.stores.base import Store
from simulator.trust.forged_blocks import encoded_again
from tests.reference.streams import random_commands
from tests.settlement.chains import Chain, in_epoch
from tests.settlement.conftest import ON_SQL, empty, restarted, tables, trail_text
from tests.settlement.fakes import FakeClock
from tests.settlement.maintenance.conftest import epoch_of, settle_into, write_snapshot_of
from tests.settlement.maintenance.test_restoring import place_of, write_spill, write_wal
from tests.settlement.test_worker import BLOCKS, LAST

FIRST = LAST // 2
"""The first block that another engine made, too."""


def of_another_engine() -> list[Block]:
    """Blocks from FIRST on of an engine that had the same state and other clients."""
    chain = Chain(BLOCKS[FIRST - 1].timestamp_ns)
    for block in BLOCKS[: FIRST - 1]:
        chain.engine.follow(block)
    return chain.add(*random_commands(77, 300, instruments=1, accounts=4, wild=False), block_size=12).blocks


WRONG = of_another_engine()
TRADES = sum(stored(block).trade_count for block in WRONG)


@pytest.fixture
def wronged(store: Store, folder: Path) -> Store:
    """A store that settled the blocks of another engine."""
    assert WRONG[0].prev_hash == BLOCKS[FIRST - 1].prev_hash
    assert TRADES > 10
    assert WRONG[-1].number > LAST
    folder.mkdir()
    store.begin_epoch(epoch_of(1))
    settle_into(folder, store, [*BLOCKS[: FIRST - 1], *WRONG])
    return restarted(store)


def run(store: Store, folder: Path, first: int = FIRST) -> Done:
    place = place_of(store, folder, FakeClock())
    return quarantine.quarantine(place, quarantine.plan(place, first), lambda: False)


def undisturbed(
    store: Store, folder: Path, blocks: list[Block], following: Epoch
) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """Tables and trail of a store to which nothing happened but a new epoch after `blocks`."""
    empty(store)
    shutil.rmtree(folder)
    folder.mkdir()
    store.begin_epoch(epoch_of(1))
    settle_into(folder, store, blocks)
    store.begin_epoch(following)
    return tables(store), trail_text(folder)


def is_in_order(store: Store, folder: Path) -> bool:
    return verify.verify(restarted(store), folder, Engine()).ok


def test_the_blocks_of_the_true_engines_log_take_their_place(wronged: Store, folder: Path) -> None:
    write_wal(folder, BLOCKS)
    done = run(wronged, folder)
    assert (done.plan.first, done.plan.last, done.plan.end) == (FIRST, WRONG[-1].number, LAST)
    assert done.set_aside == ["settlement-snapshots"]
    assert [block.data for block in quarantine._segments(done.folder).peek()] == [block.data for block in WRONG]
    assert is_in_order(wronged, folder)
    assert (folder / "wal").exists()
    found = tables(wronged), trail_text(folder)
    following = wronged.epochs()[-1]
    assert (following.number, following.first_block, following.prev_hash) == (2, LAST + 1, BLOCKS[-1].hash)
    expected, trail = undisturbed(wronged, folder, BLOCKS, following)
    assert [name for name, rows in found[0].items() if rows != expected[name]] == []
    assert found[1] == trail


def test_without_such_a_log_the_chain_ends_before_them_and_goes_on(wronged: Store, folder: Path) -> None:
    done = run(wronged, folder)
    assert done.plan.end == FIRST - 1
    assert restarted(wronged).appended().block_number == FIRST - 1
    assert is_in_order(wronged, folder)
    assert len(list(lines_of(done.folder / "trail"))) == TRADES
    settle_into(folder, restarted(wronged), in_epoch(BLOCKS[FIRST - 1 :], 2, BLOCKS[FIRST - 1].prev_hash))
    assert restarted(wronged).appended().block_number == LAST
    assert is_in_order(wronged, folder)


def test_files_with_such_blocks_are_set_aside(wronged: Store, folder: Path) -> None:
    write_spill(folder, WRONG[-2:])
    write_wal(folder, [*BLOCKS[: FIRST - 1], *WRONG])
    write_snapshot_of(folder, BLOCKS[: FIRST - 2])
    write_snapshot_of(folder, [*BLOCKS[: FIRST - 1], *WRONG[:2]])
    done = run(wronged, folder)
    assert done.set_aside == ["spill", "wal", "snapshots", "settlement-snapshots"]
    assert [path.name for path in (folder / "snapshots").iterdir()] == [f"{FIRST - 2:020d}.snapshot"]
    assert not list((folder / "wal").iterdir())
    assert not list((folder / "spill").glob("*.spill"))
    assert is_in_order(wronged, folder)


def test_everything_can_be_taken_out(wronged: Store, folder: Path) -> None:
    assert run(wronged, folder, first=1).plan.end == 0
    assert restarted(wronged).appended().block_number == 0
    assert is_in_order(wronged, folder)


STEPS: dict[str, tuple[object, str]] = {
    "the blocks are kept": (quarantine, "_write_record"),
    "the commands are executed": (filling, "execute_stored"),
    "rows are dropped": (rebuilding, "drop_rows"),
    "the trail is cut": (trail_cut, "cut"),
    "files are moved": (quarantine, "_set_aside"),
    "rows are made": (quarantine, "project_rest"),
}


def killed_at(step: str, *, before: bool, monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    where, name = STEPS[step]
    real = getattr(where, name)

    def dies(*arguments: object, **more: object) -> object:
        if not before:
            real(*arguments, **more)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(where, name, dies)
        with pytest.raises(KeyboardInterrupt):
            action()


@pytest.mark.parametrize("step", [*STEPS, "blocks are replaced"])
@pytest.mark.parametrize("before", [True, False])
def test_a_quarantine_that_was_killed_is_continued(
    wronged: Store, folder: Path, monkeypatch: pytest.MonkeyPatch, step: str, before: bool
) -> None:
    write_wal(folder, BLOCKS)
    write_spill(folder, WRONG[-1:])
    if step == "blocks are replaced":
        monkeypatch.setitem(STEPS, step, (type(wronged), "replace_blocks"))
    killed_at(step, before=before, monkeypatch=monkeypatch, action=partial(run, wronged, folder))
    if quarantine.unfinished(folder):
        assert run(restarted(wronged), folder).set_aside == ["spill", "settlement-snapshots"]
    else:
        settle_into(folder, restarted(wronged), [])
    assert is_in_order(wronged, folder)
    assert restarted(wronged).appended().hash == BLOCKS[-1].hash
    kept = next((folder / "quarantine").iterdir())
    assert [block.data for block in quarantine._segments(kept).peek()] == [block.data for block in WRONG]


@ON_SQL
def test_another_quarantine_waits_for_the_unfinished_one(
    wronged: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_at(
        "files are moved", before=True, monkeypatch=monkeypatch, action=lambda: run(wronged, folder, first=FIRST + 1)
    )
    with pytest.raises(NotReady, match=f"was not finished: run quarantine_block {FIRST + 1} first"):
        run(wronged, folder)


@ON_SQL
def test_a_quarantine_that_was_done_is_not_done_again(wronged: Store, folder: Path) -> None:
    """Or the true blocks, which the log holds too, would be taken out."""
    write_wal(folder, BLOCKS)
    run(wronged, folder)
    with pytest.raises(NotReady, match=f"Block {FIRST} was taken out already and is in"):
        run(wronged, folder)
    assert restarted(wronged).appended().block_number == LAST


@ON_SQL
def test_a_log_whose_blocks_their_commands_do_not_give_changes_nothing(wronged: Store, folder: Path) -> None:
    block = BLOCKS[FIRST - 1]
    events = block.events.copy()
    events["amount"] += 1
    forged = encoded_again(block, events=events)
    write_wal(folder, [forged])
    before = tables(wronged), trail_text(folder)
    with pytest.raises(ChainConflict, match="give other events than it holds"):
        run(wronged, folder)
    assert before == (tables(wronged), trail_text(folder))


@ON_SQL
@pytest.mark.parametrize("number", [WRONG[-1].number + 1, 10**6])
def test_a_block_that_is_not_there_is_named(wronged: Store, folder: Path, number: int) -> None:
    with pytest.raises(NotReady, match=f"there is no block {number} to take out"):
        run(wronged, folder, first=number)
    assert not (folder / "quarantine").exists()


@ON_SQL
def test_blocks_that_are_stored_and_not_projected_are_taken_out_as_well(store: Store, folder: Path) -> None:
    folder.mkdir()
    store.begin_epoch(epoch_of(1))
    settle_into(folder, store, BLOCKS[: FIRST - 3])
    store.append_blocks([stored(block) for block in [*BLOCKS[FIRST - 3 : FIRST - 1], *WRONG]])
    write_wal(folder, BLOCKS)
    assert run(store, folder).projected == LAST
    assert is_in_order(store, folder)
