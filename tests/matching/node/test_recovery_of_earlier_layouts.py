"""Recovery of a chain that began in layout 1 or 2: refused before the migration, possible from any source after it."""

from typing import NamedTuple

import pytest

from matching.core import snapshots
from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.core.migrations.state import digest_of
from matching.node.recovery import CannotLead
from matching.node.sequencer import Sequencer
from matching.storage.ring import Ring
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching.layout_1 import engine_of_layout_1, engine_of_layout_2, snapshot_of_layout_1, snapshot_of_layout_2
from tests.matching.places import Place
from tests.matching.small_exchange import batch, deposit, order, trading

START_NS = 1_800_000_000 * 10**9


class Migrated(NamedTuple):
    """A chain of an earlier layout and its continuation."""

    old: list[Block]
    snapshot: bytes  # of the last old block, in the old layout
    begun: list[Block]  # migration blocks
    state: bytes  # after them
    more: list[Block]
    end: Engine


@pytest.fixture(params=[1, 2])
def migrated(request: pytest.FixtureRequest) -> Migrated:
    earlier = engine_of_layout_1() if request.param == 1 else engine_of_layout_2()
    commands = [*DEFINITIONS, *trading(30), order(1, "sell", "101.00"), order(1001, "sell", "102.00")]
    old = added(earlier, 7, commands)
    write = snapshot_of_layout_1 if request.param == 1 else snapshot_of_layout_2
    engine = Engine()
    for block in old:
        engine.follow(block)
    begun = [engine.migrate(epoch=1) for _ in range(request.param, 3)]
    state = snapshots.encode(engine)
    more = added(engine, engine.clients.floor + 8, [deposit(2, "more"), order(2, "buy", "103.00")])
    return Migrated(old, write(earlier), begun, state, more, engine)


def added(engine: Engine, client: int, commands: list[dict[str, object]]) -> list[Block]:
    sequencer = Sequencer(engine, Ring(100, 1 << 20), lambda: START_NS, 16)
    return [
        block
        for number, command in enumerate(commands, 1)
        for block in sequencer.sequence([batch(engine, client, number, [command])]).blocks
    ]


@pytest.mark.parametrize("source", ["store", "log", "snapshot"])
def test_an_engine_does_not_lead_before_the_migration_and_names_the_command(
    place: Place, migrated: Migrated, source: str
) -> None:
    if source == "store":
        place.history.append(migrated.old)
    elif source == "log":
        place.log(migrated.old)
    else:
        place.snapshots.write(len(migrated.old), migrated.snapshot)
    with pytest.raises(CannotLead, match=r"have record layout [12], .* then run manage\.py migrate_layout\."):
        place.lead()
    assert place.snapshots.numbers() == ([len(migrated.old)] if source == "snapshot" else [])
    assert place.history.begun == []


@pytest.mark.parametrize("snapshot", ["none", "of the migration", "of the migration, and an old one"])
@pytest.mark.parametrize("stored", ["everything", "up to the migration", "nothing"])
def test_a_migrated_chain_is_recovered_from_any_sources(
    place: Place, migrated: Migrated, snapshot: str, stored: str
) -> None:
    blocks = [*migrated.old, *migrated.begun, *migrated.more]
    boundary = len(migrated.old) + len(migrated.begun)
    place.history.append(blocks[: {"everything": len(blocks), "up to the migration": boundary, "nothing": 0}[stored]])
    place.log(blocks)
    if snapshot != "none":
        place.snapshots.write(boundary, migrated.state)
    if snapshot.endswith("old one"):
        place.snapshots.write(len(migrated.old), migrated.snapshot)
    done = place.lead()
    assert done.snapshot_block == (0 if snapshot == "none" else boundary)
    assert digest_of(place.engine) == digest_of(migrated.end)


def test_a_damaged_snapshot_of_the_migration_is_replaced_by_the_events_of_the_old_blocks(
    place: Place, migrated: Migrated
) -> None:
    place.history.append([*migrated.old, *migrated.begun, *migrated.more])
    boundary = len(migrated.old) + len(migrated.begun)
    place.snapshots.write(len(migrated.old), migrated.snapshot)
    place.snapshots.write(boundary, migrated.state[:-1])
    assert place.lead().snapshot_block == 0
    assert digest_of(place.engine) == digest_of(migrated.end)
