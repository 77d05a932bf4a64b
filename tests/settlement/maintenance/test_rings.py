"""`restore` also takes blocks that only a running engine still holds."""

from pathlib import Path

import pytest

from matching.client.client import Client
from matching.core.errors import EngineUnreachable
from matching.transport.network import ZmqNetwork
from matching.workloads.btc_usd import DEFINITIONS
from settlement.maintenance.kept_blocks import blocks_of, look_at
from settlement.maintenance.restoring import restore
from settlement.maintenance.rings import ring_at
from settlement.receive.chain import stored
from settlement.stores.base import Store
from tests.matching.small_exchange import Running, deposit, follower, leader, plan, trading, until
from tests.settlement.conftest import ON_SQL
from tests.settlement.fakes import FakeClock
from tests.settlement.maintenance.test_restoring import place_of

DEPOSITS = 20


def made_blocks(engine: Running) -> int:
    """Makes some blocks and returns the number of the last one."""
    with Client(engine.commands) as client:
        client.call(DEFINITIONS)
        client.call(trading(20))
        for number in range(DEPOSITS):
            client.call([deposit(3, f"d-{number}")])
    return engine.parts.ring.last


@ON_SQL
def test_blocks_that_only_a_running_engine_has_are_restored(store: Store, folder: Path) -> None:
    folder.mkdir()
    with leader(plan()) as engine:
        last = made_blocks(engine)
        blocks = [block for number in range(1, last + 1) if (block := engine.parts.ring.get(number))]
        store.append_blocks([stored(block) for block in blocks[:2]])
        ring = ring_at(engine.commands, ZmqNetwork)
        done = restore(place_of(store, folder, FakeClock()), lambda: False, [ring])
    assert (done.filled.first, done.filled.last) == (3, last)
    assert done.verified.ok, done.verified.differences
    assert done.verified.trades > 0


def test_a_follower_gives_its_blocks_as_well() -> None:
    with leader(plan()) as engine, follower(plan(), engine.plan.addresses.blocks) as standby:
        last = made_blocks(engine)
        until(lambda: standby.parts.ring.last == last, "the follower to have the blocks")
        assert [link.number for link in look_at(ring_at(standby.commands, ZmqNetwork)).links] == [*range(1, last + 1)]


def test_an_engine_without_blocks_gives_none() -> None:
    with leader(plan()) as engine:
        assert list(blocks_of(ring_at(engine.commands, ZmqNetwork))) == []


def test_an_address_without_engine_is_named() -> None:
    with pytest.raises(EngineUnreachable, match=r"No engine answers at tcp://127\.0\.0\.1:9"):
        ring_at("tcp://127.0.0.1:9", ZmqNetwork, patience_s=0.2)
