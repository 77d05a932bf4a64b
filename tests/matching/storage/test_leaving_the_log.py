"""An engine that had a write-ahead log is started, promoted or made a replica without it."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from matching.core import snapshots
from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.core.errors import LogDamaged
from matching.node.leadership import join_epoch, take_lead
from matching.node.recovery import CannotLead, Recovered
from matching.node.services import Services
from matching.storage.input_logs.memory import MemoryLog
from matching.storage.snapshot_files import DirectWriter, Snapshotter
from tests.matching.memory_log import Shared, command_log
from tests.matching.node.test_leadership import followed
from tests.matching.places import HERE, LAST, Place, began
from tests.matching.small_exchange import plan, replica_with, services


def without_log(place: Place, *, take_over: bool = False) -> Services:
    return services(
        place.history,
        input_log=MemoryLog(place.folder / "wal"),
        snapshotter=Snapshotter(place.snapshots, DirectWriter(place.snapshots), 0),
        take_over=take_over,
    )


def lead(place: Place, *, take_over: bool = False) -> Recovered:
    return take_lead(place.engine, place.ring, HERE, without_log(place, take_over=take_over))


def join_epoch_of_topic(place: Place, *, take_over: bool = False) -> Recovered:
    return join_epoch(place.engine, place.ring, HERE, without_log(place, take_over=take_over), "memory:test")


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def sentence(place: Place, logged: int, settled: int) -> str:
    return (
        f"{place.folder / 'wal'} holds blocks up to {logged}, and settlement has those up to {settled}: start this "
        "engine with that log (ENABLE_LOCAL_WAL=true or --input-log wal) until settlement has the rest, or move the "
        "folder away to discard them."
    )


@pytest.mark.parametrize("start", [lead, join_epoch_of_topic])
def test_an_engine_does_not_lead_without_its_log_while_settlement_lacks_blocks_of_it(
    place: Place, blocks: list[Block], states: dict[int, bytes], start: object
) -> None:
    assert callable(start)
    place.history.append(blocks[:30])
    place.history.begun = [began(1, 1, "one" if start is lead else "memory:test")]
    place.log(blocks[20:])
    place.snapshots.write(40, states[40])
    before = files(place.folder)
    with pytest.raises(CannotLead) as caught:
        start(place)
    assert str(caught.value) == sentence(place, LAST, 30)
    assert files(place.folder) == before, "nothing was put aside, cut or made"
    assert len(place.history.begun) == 1

    assert Place(place.folder, place.history).lead(take_over=True) == Recovered(40, 0, 3), "the first remedy"


def test_a_replica_is_not_ready_before_the_blocks_of_its_own_log_are_settled(place: Place, blocks: list[Block]) -> None:
    place.history.append(blocks[:30])
    place.log(blocks)
    left = pytest.raises(CannotLead, match="holds blocks up to 43, and settlement has those up to 30: start")
    with command_log(Shared()) as log, left, replica_with(plan(), without_log(place), log):
        raise AssertionError
    assert place.history.begun == []
    place.history.append(blocks[30:])
    with command_log(Shared()) as log, replica_with(plan(), without_log(place), log) as one:
        assert one.parts.engine.block_number == LAST


def test_a_log_that_was_moved_away_is_ignored(place: Place, blocks: list[Block]) -> None:
    place.history.append(blocks[:30])
    place.log(blocks)
    (place.folder / "wal").rename(place.folder / "wal-given-up")
    assert lead(place) == Recovered(0, 30, 0)
    assert place.history.begun[0].first_block == 31


@pytest.mark.parametrize("logged", [0, 30, LAST])
@pytest.mark.parametrize("start", [lead, join_epoch_of_topic])
def test_an_engine_may_leave_a_fully_settled_log(place: Place, blocks: list[Block], logged: int, start: object) -> None:
    assert callable(start)
    place.history.append(blocks)
    place.log(blocks[:logged])
    assert start(place) == Recovered(0, LAST, 0)


def test_an_engine_may_leave_a_log_without_blocks(place: Place, blocks: list[Block]) -> None:
    place.log(blocks[:1])
    (file,) = (place.folder / "wal").iterdir()
    file.write_bytes(file.read_bytes()[:-1])  # the first record is torn, so no client was answered
    assert lead(place) == Recovered(0, 0, 0)
    assert lead(Place(place.folder / "nothing")) == Recovered(0, 0, 0)


def test_a_damaged_log_is_reported_and_not_ignored(place: Place, blocks: list[Block]) -> None:
    place.history.append(blocks)
    second, *_ = place.log(blocks[:3])
    (file,) = (place.folder / "wal").iterdir()
    data = bytearray(file.read_bytes())
    data[second + 60] ^= 1
    file.write_bytes(data)
    with pytest.raises(LogDamaged) as caught:
        lead(place)
    assert str(caught.value) == (
        f"{file} is damaged at byte {second}: nothing is started from it. It may hold answered blocks that settlement "
        "lacks: restore the file from a copy, or move the folder away to discard them."
    )
    assert file.read_bytes() == data
    assert place.history.begun == []


def test_a_follower_without_the_log_that_it_kept_is_promoted_once_it_has_its_blocks(
    place: Place, blocks: Sequence[Block]
) -> None:
    place.history.append(blocks[:30])
    place.history.begun = [began(1, 1)]
    place.log(blocks[:40])
    followed(place, blocks[:35])
    with pytest.raises(CannotLead) as caught:
        lead(place, take_over=True)
    assert str(caught.value) == sentence(place, 40, 30)
    assert (place.engine.block_number, len(place.history.begun)) == (35, 1), "it may go on as a follower"
    followed(place, blocks[35:40])
    assert lead(place, take_over=True) == Recovered(0, 0, 0)
    assert place.history.begun[-1].first_block == 41


def test_a_follower_without_the_blocks_is_refused_with_the_place_of_the_log(
    place: Place, blocks: list[Block], states: dict[int, bytes]
) -> None:
    place.history.append(blocks[:30])
    place.log(blocks[:35])
    place.engine.take_over_state(snapshots.decode(states[40]))
    with pytest.raises(CannotLead) as caught:
        lead(place)
    assert str(caught.value) == sentence(place, 35, 30)


def test_blocks_that_a_newer_epoch_has_overruled_can_only_be_moved_away(place: Place, blocks: list[Block]) -> None:
    place.history.append(blocks[:30])
    place.history.begun = [began(1, 1, "one"), began(2, 31)]
    place.log(blocks[:33])
    with pytest.raises(CannotLead) as caught:
        lead(place, take_over=True)
    assert str(caught.value) == (
        f"{place.folder / 'wal'} holds blocks up to 33, and settlement has those up to 30: epoch 2 has overruled the "
        "rest, move the folder away."
    )
    shutil.rmtree(place.folder / "wal")
    place.engine, before = Engine(), len(place.history.begun)
    assert lead(place, take_over=True) == Recovered(0, 30, 0)
    assert len(place.history.begun) == before + 1
