"""Chains of layouts 1 and 2 go on in layout 3: their blocks are not executed, but their events applied."""

import hashlib
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from matching.core import layout, snapshots
from matching.core.blocks import Block
from matching.core.codes import EventKind, Reason
from matching.core.engine import Engine
from matching.core.errors import BadMessage
from matching.core.migrations import to_3
from matching.core.migrations.state import digest_of, is_same_in_earlier_layout
from matching.node.follower import re_executed
from matching.node.sequencer import Sequencer
from matching.storage.ring import Ring
from matching.workloads.btc_usd import DEFINITIONS
from simulator.trust.forged_blocks import encoded_again
from tests.matching.core.test_blocks import small_block
from tests.matching.core.test_layout import filled
from tests.matching.invariants import check_invariants
from tests.matching.layout_1 import engine_of_layout_1, engine_of_layout_2, snapshot_of_layout_1, snapshot_of_layout_2
from tests.matching.small_exchange import batch, deposit, order, trading


def digest_of_records(records: dict[str, Any]) -> str:
    said = "\n".join(f"{name} {record.descr}" for name, record in sorted(records.items()))
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def renamed(record: Any, names: dict[str, str]) -> Any:
    return np.dtype([(names.get(name, name), form) for name, form in record.descr])


def records_of_layout_2() -> dict[str, Any]:
    records = {name: value for name, value in vars(layout).items() if isinstance(value, np.dtype)}
    for name in ("EXTRA", "TERMS", "TRIGGER_TREE"):
        del records[name]
    fields = [(("post_only" if name == "flags" else name), layout.ORDER[name]) for name in layout.ORDER.names or ()]
    return records | {
        "EVENT": to_3.EVENT,
        "ACCOUNT": to_3.ACCOUNT,
        "TRADER": to_3.TRADER,
        "INSTRUMENT": to_3.INSTRUMENT,
        "COMMAND": renamed(layout.COMMAND, {"flags": "post_only"}),
        "ORDER": np.dtype([*fields[:-2], ("padding", "u1", (5,))]),
        "CLIENT": np.dtype([*layout.CLIENT.descr[:-2], ("padding", "<u4")]),
    }


def old_chain(engine: Engine) -> tuple[Engine, list[Block]]:
    """An engine of an earlier layout with open orders, and its blocks."""
    sequencer = Sequencer(engine, Ring(100, 1 << 20), lambda: 1_800_000_000 * 10**9, 16)
    resting = [order(account, "sell", f"{account}01.00", client_order_id="mine") for account in (1, 1001, 1)]
    more = [deposit(1001, "u-1", amount="2"), *resting, order(2, "buy", "90.00", post_only=True)]
    blocks = []
    for number, command in enumerate([*DEFINITIONS, *trading(20), *more], 1):
        blocks += sequencer.sequence([batch(engine, 7, number, [command])]).blocks
    return engine, blocks


def test_the_records_of_layout_2_have_their_digest() -> None:
    assert digest_of_records(records_of_layout_2()) == "e17c0750044dfee9"
    fields = "account owner instrument base_balance quote_balance padding"
    assert filled(to_3.TRADER, fields.split()).hex() == (
        "010000000000007e0200007e0300007e0400007e0500007e060000000000007e"
    )


def test_a_small_block_of_layout_2_keeps_its_golden_hash_and_is_read() -> None:
    block = small_block(layout_version=2)
    assert f"{block.hash:016x}" == "98562777c395c78b"
    read = Block.decode(block.data)
    read.verify(3, 0x0123456789ABCDEF)
    assert [read.text(command) for command in read.commands] == ["deposit-1", "client-7"]
    assert (read.events.dtype.names or ())[-1] == "taker_unlock"


def test_a_snapshot_of_layout_2_is_restored_with_all_that_it_held() -> None:
    old, _ = old_chain(engine_of_layout_2())
    restored = snapshots.decode(snapshot_of_layout_2(old))
    assert (restored.layout_version, restored.state_hash, restored.clients) == (2, old.state_hash, old.clients)
    assert restored.balances() == old.balances()
    assert restored.open_orders() == old.open_orders()
    assert restored.registry.dump() == old.registry.dump()
    check_invariants(restored, totals_of(old))


def engine_of_layout(version: int) -> Engine:
    return engine_of_layout_1() if version == 1 else engine_of_layout_2()


def followed(blocks: list[Block]) -> Engine:
    engine = Engine()
    for block in blocks:
        assert re_executed(engine, Block.decode(block.data)).data == block.data
    return engine


@pytest.mark.parametrize("version", [1, 2])
def test_a_chain_is_continued_in_layout_3_where_orders_of_earlier_layouts_rest_and_trade(version: int) -> None:
    _, blocks = old_chain(engine_of_layout(version))
    engine, other = followed(blocks), followed(blocks)
    for _ in range(version, 3):
        begun = engine.migrate(epoch=1)
        re_executed(other, Block.decode(begun.data))
    assert (engine.layout_version, digest_of(engine)) == (other.layout_version, digest_of(other))
    sequencer = Sequencer(engine, Ring(100, 1 << 20), lambda: engine.timestamp_ns, 16)
    client = engine.clients.floor + 1 if version == 1 else 8
    stop = {**order(2, "buy", "1"), "order_type": "stop_loss", "trigger_price": "103.00", "price": None}
    commands = [
        stop,
        order(2, "buy", "1101.00", "2"),
        {"command": "account_status", "account": 1001, "status": "no_trading"},
        {"command": "cancel_all", "account": 1},
        {"command": "cancel_all", "account": 1001},
    ]
    made = sequencer.sequence([batch(engine, client, 1, commands)]).blocks
    for block in made:
        assert re_executed(other, Block.decode(block.data)).data == block.data
    events = [event for block in made for event in block.events]
    trades = [int(event["trade_number"]) for event in events if event["kind"] == EventKind.TRADE]
    before = sum(int((block.events["kind"] == EventKind.TRADE).sum()) for block in blocks)
    assert trades == list(range(before + 1, before + 1 + len(trades))) != [], "orders of earlier layouts trade"
    check_invariants(engine, totals_of(engine))


def totals_of(engine: Engine) -> dict[str, int]:
    return {symbol: sum(row[2] + row[3] for row in engine.balances() if row[1] == symbol) for symbol in ("BTC", "USD")}


def test_an_order_waits_for_its_trigger_from_the_last_price_of_layout_2_on() -> None:
    _, blocks = old_chain(engine_of_layout_2())
    engine = followed(blocks)
    prices = [event["price"] for block in blocks for event in block.events if event["kind"] == EventKind.TRADE]
    last = engine.pools.instruments[0]["last_price"]
    assert last == prices[-1] > 0
    engine.migrate(epoch=1)
    sequencer = Sequencer(engine, Ring(100, 1 << 20), lambda: engine.timestamp_ns, 16)
    stop = {**order(2, "buy", "1"), "order_type": "stop_loss", "price": None}
    tick = engine.registry.instruments[0].tick
    commands = [{**stop, "trigger_price": tick.text(int(last) + above)} for above in (0, 1)]
    (block,) = sequencer.sequence([batch(engine, 8, 1, commands)]).blocks
    assert block.events["reason"].tolist() == [Reason.WOULD_TRIGGER_IMMEDIATELY, Reason.NONE]


def test_clients_stay_known() -> None:
    engine, _ = old_chain(engine_of_layout_2())
    known = dict(engine.clients.known)
    engine.migrate(epoch=1)
    assert engine.clients.known[7]._replace(last_block=0) == known[7]._replace(last_block=0)


@pytest.mark.parametrize("version", [1, 2])
def test_the_events_of_a_chain_give_the_state_that_its_engine_had(version: int) -> None:
    old, blocks = old_chain(engine_of_layout(version))
    snapshot = snapshot_of_layout_2(old) if version == 2 else snapshot_of_layout_1(old)
    assert is_same_in_earlier_layout(snapshots.decode(snapshot), followed(blocks))
    assert not is_same_in_earlier_layout(snapshots.decode(snapshot), followed(blocks[:-1]))


def test_a_chain_that_came_to_layout_2_by_a_migration_of_a_program_before_is_followed() -> None:
    old, blocks = old_chain(engine_of_layout_1())
    begun = old.migrate(epoch=1)
    requests = begun.requests.copy()
    requests["digest"] += 1  # that program described the state in another way
    engine = followed([*blocks, encoded_again(begun, requests=requests)])
    assert (engine.layout_version, engine.block_number, len(engine.clients)) == (2, len(blocks) + 1, 0)


WRONG = [("order_id", 1), ("other_order_id", 2), ("account", 5), ("price", 1), ("quantity", 1 << 40), ("amount", -1)]


@pytest.mark.parametrize(("name", "value"), [*WRONG, ("instrument", 9), ("kind", 12), ("side", 1), ("sequence", 1)])
def test_events_that_no_engine_has_written_are_refused_or_spoil_nothing(name: str, value: int) -> None:
    _, blocks = old_chain(engine_of_layout_2())
    refused = 0
    for place, block in enumerate(blocks):
        for number in range(block.event_count):
            events = block.events.copy()
            events[name][number] = value
            engine = followed(blocks[:place])
            with suppress(BadMessage):
                engine.follow(encoded_again(block, events=events))
            refused += engine.block_number < block.number
    assert refused or name in ("amount", "sequence")
