"""Recovery: any mix of snapshot, store and log ends in the state that re-execution from genesis gives."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from matching.core import snapshots
from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.core.epochs import Epoch
from matching.core.errors import BadBlock, HashMismatch, LogDamaged
from matching.node.follower import re_executed
from matching.node.recovery import CannotLead, Recovered
from matching.storage.ring import Ring
from tests.matching.histories import MemoryHistory
from tests.matching.places import LAST, Place, began, chain

# Equal to re-execution from genesis


@pytest.mark.parametrize("snapshot", [0, 1, 17, 30, 40, 43])
@pytest.mark.parametrize(
    ("stored", "logged_from", "logged_to"),
    [
        (0, 1, 43),  # settlement has never run
        (30, 1, 43),  # settlement is behind
        (30, 31, 43),  # the log was trimmed as far as possible
        (30, 20, 43),
        (43, 1, 43),
        (43, 5, 20),  # an old log
        (43, 1, 0),  # no log
    ],
)
def test_every_mix_of_sources_ends_in_the_same_state(
    place: Place,
    blocks: list[Block],
    states: dict[int, bytes],
    snapshot: int,
    stored: int,
    logged_from: int,
    logged_to: int,
) -> None:
    place.history.append(blocks[:stored])
    place.log(blocks[logged_from - 1 : logged_to])
    if snapshot:
        place.snapshots.write(snapshot, states[snapshot])
    done = place.lead()
    assert place.engine.epoch == 1
    assert snapshots.encode(place.engine) == states[LAST]
    assert done.snapshot_block == snapshot
    assert done.snapshot_block + done.from_history + done.from_log == LAST
    assert place.ring.confirmed == stored, "what only the log has waits for settlement"
    unconfirmed = range(stored + 1, LAST + 1)
    assert [found.number for number in unconfirmed if (found := place.ring.get(number))] == list(unconfirmed)


def test_recovery_without_any_data_gives_an_engine_at_block_0(place: Place) -> None:
    assert place.lead() == Recovered(0, 0, 0)
    assert place.history.begun == [place.history.begun[0]._replace(number=1, first_block=1, prev_hash=0, engine="one")]


def test_blocks_before_a_snapshot_can_be_retransmitted(
    place: Place, blocks: list[Block], states: dict[int, bytes]
) -> None:
    place.history.append(blocks)
    place.snapshots.write(LAST, states[LAST])
    assert place.lead() == Recovered(LAST, 0, 0)
    assert (place.ring.first, place.ring.last) == (1, LAST)
    assert place.ring.find(7, LAST, LAST)


def test_a_restored_engine_continues_with_the_next_block(
    place: Place, blocks: list[Block], states: dict[int, bytes]
) -> None:
    place.history.append(blocks[:40])
    place.snapshots.write(30, states[30])
    place.lead()
    place.history.append(chain(place.engine, 3))
    other = Place(place.folder, place.history)
    assert other.lead() == Recovered(30, 13, 0)
    assert [epoch.first_block for epoch in place.history.begun] == [41, 44]


@pytest.mark.parametrize("crash_at", [1, 5, 31, 32, 43])
def test_a_crash_in_the_middle_and_starting_again_works(
    place: Place, blocks: list[Block], states: dict[int, bytes], crash_at: int
) -> None:
    class Crash(Exception):
        pass

    class CrashingHistory(MemoryHistory):
        def blocks(self, first: int) -> Iterator[Block]:
            for block in super().blocks(first):
                if block.number == crash_at:
                    raise Crash
                yield block

        def begin_epoch(self, epoch: Epoch) -> bool:
            super().begin_epoch(epoch)
            raise Crash

    place.history.append(blocks[:30])
    place.log(blocks[10:])
    place.snapshots.write(20, states[20])
    crashing = Place(place.folder, CrashingHistory(blocks[:30]))
    with pytest.raises(Crash):
        crashing.lead()
    place.history.begun = crashing.history.begun
    place.lead()
    assert (place.engine.block_number, place.engine.state_hash) == (LAST, blocks[-1].hash)


# Snapshots that cannot be used


def reasons(logs: Sequence[object]) -> list[tuple[str, str]]:
    return [
        (Path(log["file"]).name[16:20], log["reason"])
        for log in logs
        if isinstance(log, dict) and log["event"] == "snapshot.rejected"
    ]


def test_recovery_continues_with_the_next_older_snapshot(
    place: Place, blocks: list[Block], states: dict[int, bytes]
) -> None:
    place.history.append(blocks)
    place.snapshots.write(20, states[20])
    place.snapshots.write(30, states[30][:-100])
    place.snapshots.write(40, b"")
    with capture_logs() as logs:
        assert place.lead() == Recovered(20, 23, 0)
    assert [number for number, _ in reasons(logs)] == ["0040", "0030"]
    assert place.snapshots.numbers() == [20]


def test_a_snapshot_of_another_exchange_is_skipped(place: Place, blocks: list[Block], states: dict[int, bytes]) -> None:
    other = Engine()
    chain(other, 41, "another exchange")
    place.history.append(blocks)
    place.snapshots.write(20, states[20])
    place.snapshots.write(41, snapshots.encode(other))
    with capture_logs() as logs:
        assert place.lead() == Recovered(20, 23, 0)
    assert reasons(logs) == [("0041", "It belongs to another exchange: its block and hash are not in this chain.")]


@pytest.mark.parametrize("logged", [0, 35])
def test_a_snapshot_newer_than_every_durable_block_is_skipped(
    place: Place, blocks: list[Block], states: dict[int, bytes], logged: int
) -> None:
    place.history.append(blocks[:30])
    place.log(blocks[20:logged])
    for number in (30, 40):
        place.snapshots.write(number, states[number])
    with capture_logs() as logs:
        done = place.lead()
    assert (done.snapshot_block, place.engine.block_number) == (30, max(30, logged))
    assert reasons(logs) == [("0040", "It is newer than every durable block.")]


def test_a_log_that_begins_after_missing_blocks_is_refused(
    place: Place, blocks: list[Block], states: dict[int, bytes]
) -> None:
    place.history.append(blocks[:10])
    place.log(blocks[20:])
    place.snapshots.write(30, states[30])
    with pytest.raises(HashMismatch, match="Expected block 11, received block 21"):
        place.lead()
    assert place.history.begun == []


# Logs


def test_an_engine_starts_with_a_log_torn_at_any_byte_of_the_last_record(place: Place, blocks: list[Block]) -> None:
    *_, start, end = place.log(blocks[:6])
    (file,) = (place.folder / "wal").iterdir()
    data = file.read_bytes()
    assert len(data) == end
    for size in range(start, end):
        file.write_bytes(data[:size])
        torn = Place(place.folder)
        assert torn.lead() == Recovered(0, 0, 5), f"torn at {size}"
        assert file.stat().st_size == start
    for size in range(start, end - 8, 5):  # the record's length reached the disk, its data did not
        file.write_bytes(data[:size] + bytes(end - size + 1024))
        lost_nothing = not any(data[size:])
        assert Place(place.folder).lead().from_log == 5 + lost_nothing, f"torn at {size}"


def test_a_flipped_byte_in_the_middle_is_refused_with_file_and_offset(place: Place, blocks: list[Block]) -> None:
    second, third, *_ = place.log(blocks[:4])
    (file,) = (place.folder / "wal").iterdir()
    whole = file.read_bytes()
    for at in range(second, third):
        data = bytearray(whole)
        data[at] ^= 1
        file.write_bytes(data)
        with pytest.raises(LogDamaged, match=f"{file} is damaged at byte {second}: nothing is started from it"):
            Place(place.folder).lead()
        assert file.read_bytes() == data


def test_blocks_that_do_not_reproduce_their_hash_are_refused(place: Place, blocks: list[Block]) -> None:
    data = bytearray(blocks[4].data)
    data[-20] ^= 1
    place.history.append([*blocks[:4], Block.decode(bytes(data)), *blocks[5:]])
    with pytest.raises(BadBlock, match="Block 5"):
        place.lead()


def test_a_log_of_an_engine_that_was_replaced_is_refused_with_the_remedy(place: Place, blocks: list[Block]) -> None:
    engine = snapshots.decode(snapshots.encode(Engine()))
    for block in blocks[:30]:
        re_executed(engine, block)
    engine.epoch = 2
    place.history.append([*blocks[:30], *chain(engine, 5, "of another")])
    place.history.begun = [began(1, 1, "one"), began(2, 31, "one")]
    place.log(blocks[:33])
    sentence = (
        "This engine was replaced: its log holds block 31 of epoch 1, the chain another of epoch 2. "
        "Move the folder wal/ away and start this engine with --follow."
    )
    with pytest.raises(CannotLead) as caught:
        place.lead()
    assert str(caught.value) == sentence


def test_blocks_of_the_log_that_a_newer_epoch_replaced_are_refused(place: Place, blocks: list[Block]) -> None:
    place.history.append(blocks[:30])
    place.history.begun = [began(1, 1, "one"), began(2, 31)]
    place.log(blocks[:33])
    with pytest.raises(CannotLead, match="its log holds block 31 of epoch 1, the chain another of epoch 2"):
        place.lead(take_over=True)


def test_the_last_overlapping_block_is_compared_even_if_the_ring_has_dropped_it(
    place: Place, blocks: list[Block]
) -> None:
    place.history.append(blocks)
    place.log(chain(Engine(), 30, "another exchange"))
    place.ring = Ring(5, 1 << 30)
    with pytest.raises(CannotLead, match="This engine was replaced"):
        place.lead()
