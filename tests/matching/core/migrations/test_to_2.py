"""Blocks and snapshots of layout 1 are read, and a chain of layout 1 is continued in layout 2."""

import pytest

from matching.core import layout, snapshots
from matching.core.blocks import Block
from matching.core.clients import FIRST_LOG_CLIENT, MIGRATION_CLIENT
from matching.core.engine import Engine
from matching.core.errors import BadBlock, BadMessage, Diverged
from matching.core.migrations import to_2
from matching.node.follower import re_executed
from matching.node.sequencer import LogPosition, Sequencer
from matching.storage.ring import Ring
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching.core.migrations.test_to_3 import digest_of_records, records_of_layout_2
from tests.matching.core.test_blocks import HEADER, small_block
from tests.matching.core.test_layout import filled
from tests.matching.layout_1 import engine_of_layout_1, snapshot_of_layout_1
from tests.matching.small_exchange import batch, deposit, trading

LOG = LogPosition(FIRST_LOG_CLIENT + 5, 3)


def old_chain() -> tuple[Engine, list[Block]]:
    """An engine of layout 1 and its blocks; it has read a log."""
    engine = engine_of_layout_1()
    sequencer = Sequencer(engine, Ring(100, 1 << 20), lambda: 1_800_000_000 * 10**9, 16)
    blocks = []
    for number, command in enumerate([*DEFINITIONS, *trading(20)], 1):
        blocks += sequencer.sequence([batch(engine, 7, number, [command])], LOG).blocks
    return engine, blocks


def test_the_records_of_layout_1_keep_their_golden_bytes() -> None:
    fields = "client first_number command_count padding"
    assert filled(to_2.REQUEST, fields.split()).hex() == "010000000000007e020000000000007e0300007e0400007e"
    before = records_of_layout_2()
    for name in ("CLIENT", "CLIENT_BATCH", "CLIENT_FLOOR", "LOG_POSITION"):
        del before[name]
    before["REQUEST"] = to_2.REQUEST
    assert digest_of_records(before) == "076b139ce09600aa", "all other records are those of layout 1"


def test_a_small_block_of_layout_1_keeps_its_golden_hash_and_is_read() -> None:
    block = small_block(layout_version=1)
    assert f"{block.hash:016x}" == "39ae18dfb7bf474a"
    assert len(block.data) == HEADER + 2 * 24 + 2 * 64 + 104 + 24
    read = Block.decode(block.data)
    read.verify(3, 0x0123456789ABCDEF)
    assert read.layout_version == 1
    assert read.requests.tolist() == [(11, 1, 0, 0, 1, 0), (0, 0, 0, 0, 1, 0)]
    assert [read.text(command) for command in read.commands] == ["deposit-1", "client-7"]
    assert read.events["sequence"].tolist() == [7]


@pytest.mark.parametrize("version", [0, layout.LAYOUT_VERSION + 1])
def test_a_layout_that_this_program_does_not_know_is_refused(version: int) -> None:
    data = bytearray(small_block().data)
    data[4] = version
    with pytest.raises(BadBlock, match=rf"has layout {version}, this program reads layouts 1 to"):
        Block.decode(bytes(data))


def test_a_chain_of_layout_1_is_continued_in_layout_2_from_a_snapshot_at_its_end() -> None:
    old, blocks = old_chain()
    assert {block.layout_version for block in blocks} == {1}
    restored = snapshots.decode(snapshot_of_layout_1(old))
    assert (restored.layout_version, restored.state_hash) == (1, blocks[-1].hash)
    begun = restored.migrate(epoch=4)
    assert (begun.layout_version, begun.epoch, begun.prev_hash) == (2, 4, blocks[-1].hash)
    assert restored.clients.log_positions == {LOG.client: LOG.next_offset}
    assert restored.balances() == old.balances()
    ((client, number, *_),) = begun.requests.tolist()
    assert (client, number) == (MIGRATION_CLIENT, 2)


def test_a_follower_makes_the_same_migration_block() -> None:
    old, _ = old_chain()
    one, other = (snapshots.decode(snapshot_of_layout_1(old)) for _ in range(2))
    begun = one.migrate(epoch=4)
    assert re_executed(other, Block.decode(begun.data)).data == begun.data
    assert other.clients == one.clients


def test_clients_of_layout_1_are_refused_to_everybody_after_the_migration() -> None:
    engine, _ = old_chain()
    assert engine.clients.get(7) is not None
    engine.migrate(epoch=1)
    for owner in (0, 5):
        sequencer = Sequencer(engine, Ring(100, 1 << 20), lambda: engine.timestamp_ns, 16)
        for number in (1, len(DEFINITIONS) + 21):
            (refused,) = sequencer.sequence([batch(engine, 7, number, [deposit(1, "x")])._replace(owner=owner)]).answers
            assert getattr(refused, "code", "") == "client_forgotten"
            assert getattr(refused, "floor", 0) == engine.clients.floor


def test_a_block_of_the_next_layout_that_is_no_migration_block_is_not_what_an_engine_makes() -> None:
    engine, _ = old_chain()
    forged = small_block(layout_version=2, number=engine.block_number + 1, prev_hash=engine.state_hash)
    with pytest.raises(Diverged):
        re_executed(engine, forged)


def test_a_chain_does_not_go_back_to_an_earlier_layout() -> None:
    engine, blocks = old_chain()
    engine.migrate(epoch=1)
    with pytest.raises(BadMessage, match="a chain changes to the next layout only"):
        engine.follow(blocks[-1])
