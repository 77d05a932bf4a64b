"""Recovery: any mix of snapshot, store and log ends in the state that re-execution from genesis gives."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest.mock import Mock

import pytest
from structlog.testing import capture_logs

from matching import process, snapshots
from matching.blocks import Block
from matching.disk import LocalDisk
from matching.engine import Engine
from matching.epochs import Epoch
from matching.errors import BadBlock, HashMismatch, LogDamaged, LogFull
from matching.follower import re_executed
from matching.input_logs.memory import MemoryLog
from matching.input_logs.wal import WalLog
from matching.leadership import take_lead
from matching.recovery import CannotLead, Recovered
from matching.ring import Ring
from matching.sequencer import Sequencer
from matching.services import Services
from matching.snapshot_files import DirectWriter, SnapshotFolder, Snapshotter
from matching.wire import Addresses
from tests.matching.histories import MemoryHistory
from tests.matching.small_exchange import DEFINITIONS, batch, deposit, services, trading

HERE = Addresses("ipc:///nobody/a", "ipc:///nobody/b", "ipc:///nobody/c")
LAST = 43


def chain(engine: Engine, count: int, tag: str = "chain") -> list[Block]:
    """So many more blocks of an engine: definitions, then trades, then deposits that `tag` tells from others'."""
    sequencer = Sequencer(engine, Ring(10_000, 1 << 30), lambda: 1, 1024)
    first = [*DEFINITIONS, *trading(20)]
    made: list[Block] = []
    while len(made) < count:
        at = engine.block_number
        command = first[at] if at < len(first) else deposit(1, f"{tag} {at}")
        made += sequencer.sequence([batch(engine, 7, engine.clients.get(7, 0) + 1, [command])]).blocks
    return made


@pytest.fixture(scope="module")
def blocks() -> list[Block]:
    return chain(Engine(), LAST)


@pytest.fixture(scope="module")
def states(blocks: list[Block]) -> dict[int, bytes]:
    """Block → snapshot, by re-execution from genesis."""
    engine = Engine()
    found = {0: snapshots.encode(engine)}
    for block in blocks:
        re_executed(engine, block)
        found[block.number] = snapshots.encode(engine)
    return found


class Place:
    """A machine: its log, its snapshots and the store that it reaches. Everything in it outlives an engine."""

    def __init__(self, folder: Path, history: MemoryHistory | None = None) -> None:
        self.folder = folder
        self.history = history or MemoryHistory()
        self.snapshots = SnapshotFolder(LocalDisk(), folder / "snapshots", 3)
        self.engine = Engine()
        self.ring = Ring(1000, 1 << 30)

    def services(self, engine: str = "one", *, take_over: bool = False) -> Services:
        return services(
            self.history,
            input_log=WalLog(self.folder / "wal"),
            snapshotter=Snapshotter(self.snapshots, DirectWriter(self.snapshots), 0),
            engine=engine,
            take_over=take_over,
        )

    def log(self, blocks: Sequence[Block]) -> list[int]:
        """Puts them in one file; how long it was after each."""
        log = WalLog(self.folder / "wal")
        sizes = []
        for block in blocks:
            log.append([block])
            sizes.append((self.folder / "wal" / f"{blocks[0].number:020d}.wal").stat().st_size)
        log.close()
        return sizes

    def lead(self, engine: str = "one", *, take_over: bool = False) -> Recovered:
        return take_lead(self.engine, self.ring, HERE, self.services(engine, take_over=take_over))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def began(number: int, first_block: int, engine: str = "another", prev_hash: int = 0) -> Epoch:
    return Epoch(number, first_block, prev_hash, engine, "ipc:///nobody/x", "ipc:///nobody/y", "ipc:///nobody/z", 1)


# Equal to re-execution from genesis


@pytest.mark.parametrize("snapshot", [0, 1, 17, 30, 40, 43])
@pytest.mark.parametrize(
    ("stored", "logged_from", "logged_to"),
    [
        (0, 1, 43),  # settlement never ran
        (30, 1, 43),  # it is behind
        (30, 31, 43),  # the log was shortened as far as possible
        (30, 20, 43),
        (43, 1, 43),
        (43, 5, 20),  # an old log
        (43, 1, 0),  # pure memory
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


def test_nothing_anywhere_is_an_engine_at_block_0(place: Place) -> None:
    assert place.lead() == Recovered(0, 0, 0)
    assert place.history.begun == [place.history.begun[0]._replace(number=1, first_block=1, prev_hash=0, engine="one")]


def test_blocks_before_a_snapshot_can_be_asked_for_again(
    place: Place, blocks: list[Block], states: dict[int, bytes]
) -> None:
    place.history.append(blocks)
    place.snapshots.write(LAST, states[LAST])
    assert place.lead() == Recovered(LAST, 0, 0)
    assert (place.ring.first, place.ring.last) == (1, LAST)
    assert place.ring.find(7, LAST, LAST)


def test_a_restored_engine_goes_on_with_the_next_block(
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
        if isinstance(log, dict) and log["event"] == "snapshot passed over"
    ]


def test_recovery_goes_on_from_the_next_snapshot(place: Place, blocks: list[Block], states: dict[int, bytes]) -> None:
    place.history.append(blocks)
    place.snapshots.write(20, states[20])
    place.snapshots.write(30, states[30][:-100])
    place.snapshots.write(40, b"")
    with capture_logs() as logs:
        assert place.lead() == Recovered(20, 23, 0)
    assert [number for number, _ in reasons(logs)] == ["0040", "0030"]
    assert place.snapshots.numbers() == [20]


def test_a_snapshot_of_another_exchange_is_passed_over(
    place: Place, blocks: list[Block], states: dict[int, bytes]
) -> None:
    other = Engine()
    chain(other, 41, "another exchange")
    place.history.append(blocks)
    place.snapshots.write(20, states[20])
    place.snapshots.write(41, snapshots.encode(other))
    with capture_logs() as logs:
        assert place.lead() == Recovered(20, 23, 0)
    assert reasons(logs) == [("0041", "It is of another exchange: block and hash are not of this chain.")]


@pytest.mark.parametrize("logged", [0, 35])
def test_a_snapshot_that_is_newer_than_every_durable_block_is_passed_over(
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


def test_a_log_whose_first_blocks_nobody_has_is_refused(
    place: Place, blocks: list[Block], states: dict[int, bytes]
) -> None:
    place.history.append(blocks[:10])
    place.log(blocks[20:])
    place.snapshots.write(30, states[30])
    with pytest.raises(HashMismatch, match="Block 11 was expected and block 21 came"):
        place.lead()
    assert place.history.begun == []


# Logs


def test_a_tail_that_tore_at_any_byte_of_the_last_record_starts(place: Place, blocks: list[Block]) -> None:
    *_, start, end = place.log(blocks[:6])
    (file,) = (place.folder / "wal").iterdir()
    data = file.read_bytes()
    assert len(data) == end
    for size in range(start, end):
        file.write_bytes(data[:size])
        torn = Place(place.folder)
        assert torn.lead() == Recovered(0, 0, 5), f"torn at {size}"
        assert file.stat().st_size == start
    for size in range(start, end - 8, 5):  # its length reached the disk, what follows did not
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


def test_blocks_that_do_not_give_their_hash_are_refused(place: Place, blocks: list[Block]) -> None:
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


def test_blocks_of_the_log_that_a_newer_epoch_overruled_are_refused(place: Place, blocks: list[Block]) -> None:
    place.history.append(blocks[:30])
    place.history.begun = [began(1, 1, "one"), began(2, 31)]
    place.log(blocks[:33])
    with pytest.raises(CannotLead, match="its log holds block 31 of epoch 1, the chain another of epoch 2"):
        place.lead(take_over=True)


def test_the_last_overlapping_block_is_compared_though_the_ring_has_dropped_it(
    place: Place, blocks: list[Block]
) -> None:
    place.history.append(blocks)
    place.log(chain(Engine(), 30, "another exchange"))
    place.ring = Ring(5, 1 << 30)
    with pytest.raises(CannotLead, match="This engine was replaced"):
        place.lead()


# Who may lead


def test_an_epoch_begins_after_the_newest_block(place: Place, blocks: list[Block]) -> None:
    place.history.append(blocks)
    place.lead()
    (epoch,) = place.history.begun
    assert (epoch.number, epoch.first_block, epoch.prev_hash) == (1, LAST + 1, blocks[-1].hash)
    assert (epoch.engine, epoch.commands, epoch.blocks, epoch.retransmission) == ("one", *vars_of(HERE))
    assert place.engine.epoch == 1


def vars_of(addresses: Addresses) -> tuple[str, str, str]:
    return addresses.commands, addresses.blocks, addresses.retransmission


def test_another_engine_that_leads_is_named_with_its_address_and_the_remedies(place: Place) -> None:
    place.history.begun = [began(4, 1)]
    with pytest.raises(CannotLead) as caught:
        place.lead()
    assert str(caught.value) == (
        "Engine another at ipc:///nobody/x leads (epoch 4): start this one with --follow ipc:///nobody/x, or with "
        "--take-over when that engine is gone for good."
    )


def test_taking_over_fences_the_other_engine(place: Place, blocks: list[Block]) -> None:
    place.history.append(blocks[:40])
    place.history.begun = [began(1, 1)]
    place.lead(take_over=True)
    assert place.engine.epoch == 2
    with pytest.raises(AssertionError, match="block 41 is fenced"):
        place.history.append(blocks[40:])


def test_the_same_engine_at_another_address_goes_on_when_nobody_answers_there(place: Place) -> None:
    place.history.begun = [began(1, 1, "one")]
    place.lead()
    assert place.engine.epoch == 2


class RacingHistory(MemoryHistory):
    """Somebody writes a few blocks the moment before the epoch begins."""

    def __init__(self, blocks: Sequence[Block], late: Sequence[Block]) -> None:
        super().__init__(blocks)
        self.late = list(late)

    def begin_epoch(self, epoch: Epoch) -> bool:
        self.append(self.late)
        self.late = []
        return super().begin_epoch(epoch)


def test_blocks_that_settlement_writes_meanwhile_are_taken_too(tmp_path: Path, blocks: list[Block]) -> None:
    place = Place(tmp_path, RacingHistory(blocks[:40], blocks[40:]))
    assert place.lead() == Recovered(0, LAST, 0)
    assert place.history.begun[0].first_block == LAST + 1


# An engine that followed


def followed(place: Place, blocks: Sequence[Block]) -> None:
    """The place's engine has re-executed these, and counts all as confirmed, as followers do."""
    for block in blocks:
        place.ring.append(re_executed(place.engine, block))
        place.ring.confirm(block.number)


def test_a_follower_that_is_promoted_keeps_what_settlement_lacks(place: Place, blocks: list[Block]) -> None:
    place.history.append(blocks[:30])
    place.history.begun = [began(1, 1)]
    followed(place, blocks[:40])
    assert place.lead(take_over=True) == Recovered(0, 0, 0)
    assert (place.ring.confirmed, place.ring.unconfirmed) == (30, 10)
    logged = list(WalLog(place.folder / "wal").blocks())
    assert [block.number for block in logged] == list(range(31, 41)), "nobody else may have them"
    again = Place(place.folder, place.history)
    assert again.lead() == Recovered(0, 30, 10)


def test_a_follower_that_is_promoted_catches_up_with_settlement(place: Place, blocks: list[Block]) -> None:
    place.history.append(blocks)
    followed(place, blocks[:40])
    assert place.lead() == Recovered(0, 3, 0)
    assert (place.engine.state_hash, place.ring.confirmed) == (blocks[-1].hash, LAST)


def test_a_follower_that_has_dropped_what_settlement_lacks_is_not_promoted(place: Place, blocks: list[Block]) -> None:
    place.history.append(blocks[:30])
    place.ring = Ring(5, 1 << 30)
    followed(place, blocks[:40])
    with pytest.raises(CannotLead, match="Settlement's store lacks blocks before 36"):
        place.lead()


def test_a_follower_that_joined_by_a_snapshot_may_be_promoted(
    place: Place, blocks: list[Block], states: dict[int, bytes]
) -> None:
    place.history.append(blocks[:40])
    place.engine.become(snapshots.decode(states[35]))
    assert place.lead() == Recovered(0, 5, 0)
    assert (place.ring.first, place.ring.last) == (36, 40)


def test_a_follower_of_another_history_is_not_promoted(place: Place, blocks: list[Block]) -> None:
    other = Engine()
    place.history.append(blocks)
    followed(place, [*chain(other, 35, "x")])
    with pytest.raises(CannotLead, match="This engine has another block 35 than settlement's store"):
        place.lead()


def test_a_follower_of_an_engine_that_was_fenced_is_not_promoted(place: Place, blocks: list[Block]) -> None:
    place.history.append(blocks[:30])
    place.history.begun = [began(1, 1), began(2, 31)]
    followed(place, blocks[:33])
    with pytest.raises(CannotLead, match="block 33 is of epoch 1, and a newer one began before it"):
        place.lead(take_over=True)


def test_an_objection_comes_after_catching_up_and_before_the_epoch(place: Place, blocks: list[Block]) -> None:
    place.history.append(blocks)
    followed(place, blocks[:40])
    asked: list[tuple[int, Epoch | None]] = []

    def objection(holder: Epoch | None) -> str:
        asked.append((place.engine.block_number, holder))
        return "Not now."

    with pytest.raises(CannotLead, match=r"Not now\."):
        take_lead(place.engine, place.ring, HERE, place.services(), objection)
    assert asked == [(LAST, None)]
    assert place.history.begun == []


def test_an_engine_that_began_to_lead_during_a_promotion_speaks_against_it(place: Place, blocks: list[Block]) -> None:
    follower = Mock(promotion=Mock(forced=False), leader_epoch=1, unwritten=lambda: "")
    objection = process._objection(follower)
    follower.leader_epoch = 2  # catching up has brought blocks of the other's epoch
    begun = [Epoch(number, 1, 0, "one", "tcp://one:1", "", "", 1) for number in (1, 2)]
    assert [objection(None), objection(begun[0])] == ["", ""]
    assert "Engine one at tcp://one:1 has begun epoch 2 meanwhile: it leads" in objection(begun[1])
    follower.promotion.forced = True
    assert process._objection(follower)(begun[1]) == ""


def test_a_log_that_is_full_refuses_a_promotion(place: Place, blocks: list[Block]) -> None:
    class FullLog(MemoryLog):
        def append(self, blocks: Sequence[Block]) -> None:
            raise LogFull("The disk is full.")

    followed(place, blocks[:5])
    with pytest.raises(LogFull):
        take_lead(place.engine, place.ring, HERE, services(place.history, input_log=FullLog()))
    assert place.history.begun == []
