"""Who may lead: the epoch that an engine takes when it starts or is promoted, and who is refused."""

from collections.abc import Sequence
from pathlib import Path
from unittest.mock import Mock

import pytest

from matching.core import snapshots
from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.core.epochs import Epoch
from matching.core.errors import LogFull
from matching.node import process
from matching.node.follower import re_executed
from matching.node.leadership import take_lead
from matching.node.recovery import CannotLead, Recovered
from matching.storage.input_logs.memory import MemoryLog
from matching.storage.input_logs.wal import WalLog
from matching.storage.ring import Ring
from matching.transport.wire import Addresses
from tests.matching.histories import MemoryHistory
from tests.matching.places import HERE, LAST, Place, began, chain
from tests.matching.small_exchange import services
from tests.matching.stages import Stage

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
        "--take-over if that engine will not come back."
    )


def test_taking_over_fences_the_other_engine(place: Place, blocks: list[Block]) -> None:
    place.history.append(blocks[:40])
    place.history.begun = [began(1, 1)]
    place.lead(take_over=True)
    assert place.engine.epoch == 2
    with pytest.raises(AssertionError, match="block 41 is fenced"):
        place.history.append(blocks[40:])


def test_an_engine_may_continue_at_another_address_if_its_old_one_is_silent(place: Place) -> None:
    place.history.begun = [began(1, 1, "one")]
    place.lead()
    assert place.engine.epoch == 2


class RacingHistory(MemoryHistory):
    """Another process appends blocks just before the epoch begins."""

    def __init__(self, blocks: Sequence[Block], late: Sequence[Block]) -> None:
        super().__init__(blocks)
        self.late = list(late)

    def begin_epoch(self, epoch: Epoch) -> bool:
        self.append(self.late)
        self.late = []
        return super().begin_epoch(epoch)


def test_blocks_stored_during_recovery_are_executed_too(tmp_path: Path, blocks: list[Block]) -> None:
    place = Place(tmp_path, RacingHistory(blocks[:40], blocks[40:]))
    assert place.lead() == Recovered(0, LAST, 0)
    assert place.history.begun[0].first_block == LAST + 1


# An engine that followed


def followed(place: Place, blocks: Sequence[Block]) -> None:
    """The place's engine after re-executing these blocks, all of which count as confirmed, as in a follower."""
    for block in blocks:
        place.ring.append(re_executed(place.engine, block))
        place.ring.confirm(block.number)


def test_a_promoted_follower_keeps_blocks_that_settlement_lacks(place: Place, blocks: list[Block]) -> None:
    place.history.append(blocks[:30])
    place.history.begun = [began(1, 1)]
    followed(place, blocks[:40])
    assert place.lead(take_over=True) == Recovered(0, 0, 0)
    assert (place.ring.confirmed, place.ring.unconfirmed) == (30, 10)
    logged = list(WalLog(place.folder / "wal").blocks())
    assert [block.number for block in logged] == list(range(31, 41)), "nobody else may have them"
    again = Place(place.folder, place.history)
    assert again.lead() == Recovered(0, 30, 10)


def test_a_promoted_follower_catches_up_with_settlement(place: Place, blocks: list[Block]) -> None:
    place.history.append(blocks)
    followed(place, blocks[:40])
    assert place.lead() == Recovered(0, 3, 0)
    assert (place.engine.state_hash, place.ring.confirmed) == (blocks[-1].hash, LAST)


def test_a_follower_that_has_dropped_blocks_settlement_lacks_is_not_promoted(place: Place, blocks: list[Block]) -> None:
    place.history.append(blocks[:30])
    place.ring = Ring(5, 1 << 30)
    followed(place, blocks[:40])
    with pytest.raises(CannotLead, match="Settlement's store lacks blocks before 36"):
        place.lead()


def test_a_follower_that_joined_with_a_snapshot_may_be_promoted(
    place: Place, blocks: list[Block], states: dict[int, bytes]
) -> None:
    place.history.append(blocks[:40])
    place.engine.take_over_state(snapshots.decode(states[35]))
    assert place.lead() == Recovered(0, 5, 0)
    assert (place.ring.first, place.ring.last) == (36, 40)


def test_a_follower_of_another_history_is_not_promoted(place: Place, blocks: list[Block]) -> None:
    other = Engine()
    place.history.append(blocks)
    followed(place, [*chain(other, 35, "x")])
    with pytest.raises(CannotLead, match="This engine's block 35 differs from the one in settlement's store"):
        place.lead()


def test_a_follower_of_an_engine_that_was_fenced_is_not_promoted(place: Place, blocks: list[Block]) -> None:
    place.history.append(blocks[:30])
    place.history.begun = [began(1, 1), began(2, 31)]
    followed(place, blocks[:33])
    with pytest.raises(CannotLead, match="block 33 is of epoch 1, and a newer one began before it"):
        place.lead(take_over=True)


def test_objections_are_checked_after_catching_up_and_before_the_epoch(place: Place, blocks: list[Block]) -> None:
    place.history.append(blocks)
    followed(place, blocks[:40])
    asked: list[tuple[int, Epoch | None]] = []

    def objection(holder: Epoch | None) -> str:
        asked.append((place.engine.block_number, holder))
        return "Not now."

    with pytest.raises(CannotLead, match=r"Not now\."):
        take_lead(place.engine, place.ring, HERE, place.services(), objection=objection)
    assert asked == [(LAST, None)]
    assert place.history.begun == []


def test_a_promotion_is_refused_if_another_engine_began_to_lead_meanwhile() -> None:
    follower = Mock(promotion=Mock(forced=False), leader_epoch=1, reason_not_to_lead=lambda: "")
    objection = process._objection(follower, "this")
    begun = [Epoch(number, 1, 0, "one", "tcp://one:1", "", "", 1) for number in (1, 2)]
    assert [objection(None), objection(begun[0])] == ["", ""]
    assert "Engine one at tcp://one:1 leads: it has begun epoch 2" in objection(begun[1])
    assert objection(begun[1]._replace(engine="this")) == "", "begun by this one, whose store did not answer in time"
    follower.promotion.forced = True
    assert process._objection(follower, "this")(begun[1]) == ""


def test_a_promotion_is_refused_again_while_another_engine_leads(place: Place, blocks: list[Block]) -> None:
    """The old leader has ended and another follower was promoted: this one must not replace it without a request."""
    old, mine, other = Engine(), Engine(), Engine()
    for block in blocks:
        re_executed(old, block)
        re_executed(other, block)
    for block in blocks[:40]:
        re_executed(mine, block)
    stage = Stage(mine, old)
    stage.show(*blocks[40:])
    stage.turn()
    for _ in range(5):  # only time in which the follower listens counts as silence
        stage.network.now_s += 1
        stage.turn()
    other.epoch = 2
    place.history.append(blocks)
    place.history.begun = [began(1, 1), began(2, LAST + 1, "promoted", blocks[-1].hash)]
    place.history.append(chain(other, 3, "promoted"))
    told = []

    def is_answered() -> bool:
        told.extend(stage.promotion_answers())
        return bool(told)

    for correlation in (
        b"1",
        b"1",
        b"2",
    ):  # a client repeats its request while it waits; then an operator makes a new one
        stage.ask_promotion(correlation)
        assert not process._follow_until_promoted(stage.follower, place.services("this"), stage.parts, is_answered)
        assert "Engine promoted at ipc:///nobody/x leads: it has begun epoch 2." in str(told.pop()["message"])
    assert [epoch.number for epoch in place.history.begun] == [1, 2]


def test_an_engine_stopped_during_its_promotion_refuses_with_a_message(place: Place, blocks: list[Block]) -> None:
    stage = Stage(Engine(), Engine())
    stage.ask_promotion(forced=True)
    place.history.append(blocks)
    assert not process._follow_until_promoted(
        stage.follower, place.services("this"), stage.parts, lambda: stage.follower.promotion is not None
    )
    assert stage.promotion_answers() == [{"ok": False, "message": "This engine is being stopped: promote another one."}]
    assert place.history.begun == []


def test_a_promotion_is_refused_if_the_log_is_full(place: Place, blocks: list[Block]) -> None:
    class FullLog(MemoryLog):
        def append(self, blocks: Sequence[Block]) -> None:
            raise LogFull("The disk is full.")

    followed(place, blocks[:5])
    with pytest.raises(LogFull):
        take_lead(place.engine, place.ring, HERE, services(place.history, input_log=FullLog()))
    assert place.history.begun == []
