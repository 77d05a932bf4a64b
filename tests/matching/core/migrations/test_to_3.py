"""Blocks and snapshots of layout 2 are read, and its chains are continued in layout 3, but its blocks not executed."""

import hashlib
from typing import Any

import numpy as np
import pytest

from matching.core import layout, snapshots
from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.core.errors import BadMessage, Diverged
from matching.core.migrations import to_3
from matching.node.follower import re_executed
from matching.node.sequencer import Sequencer
from matching.storage.ring import Ring
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching.core.test_blocks import small_block
from tests.matching.core.test_layout import filled
from tests.matching.invariants import check_invariants
from tests.matching.layout_1 import engine_of_layout_2, snapshot_of_layout_1, snapshot_of_layout_2
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


def old_chain() -> tuple[Engine, list[Block]]:
    """An engine of layout 2 with open orders, and its blocks."""
    engine = engine_of_layout_2()
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
    old, _ = old_chain()
    restored = snapshots.decode(snapshot_of_layout_2(old))
    assert (restored.layout_version, restored.state_hash, restored.clients) == (2, old.state_hash, old.clients)
    assert restored.balances() == old.balances()
    assert restored.open_orders() == old.open_orders()
    assert restored.registry.dump() == old.registry.dump()
    totals = {symbol: sum(row[2] + row[3] for row in old.balances() if row[1] == symbol) for symbol in ("BTC", "USD")}
    check_invariants(restored, totals)


@pytest.mark.parametrize("version", [1, 2])
def test_a_chain_is_continued_in_layout_3_where_orders_of_layout_2_rest_and_trade(version: int) -> None:
    old, _ = old_chain()
    snapshot = snapshot_of_layout_2(old) if version == 2 else snapshot_of_layout_1(old)
    engines = [snapshots.decode(snapshot) for _ in range(2)]
    for _ in range(version, 3):
        begun = engines[0].migrate(epoch=1)
        assert re_executed(engines[1], Block.decode(begun.data)).data == begun.data
    assert {engine.layout_version for engine in engines} == {3}
    engine = engines[0]
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
        assert re_executed(engines[1], Block.decode(block.data)).data == block.data
    kinds = [int(kind) for block in made for kind in block.events["kind"]]
    assert kinds.count(2) >= 1, "orders of layout 2 trade"
    totals = {
        symbol: sum(row[2] + row[3] for row in engine.balances() if row[1] == symbol) for symbol in ("BTC", "USD")
    }
    check_invariants(engine, totals)


def test_clients_stay_known() -> None:
    engine, _ = old_chain()
    known = dict(engine.clients.known)
    engine.migrate(epoch=1)
    assert engine.clients.known[7]._replace(last_block=0) == known[7]._replace(last_block=0)


def test_blocks_of_earlier_rules_are_not_executed() -> None:
    _, blocks = old_chain()
    with pytest.raises(
        BadMessage, match=r"has layout 2, whose rules this program does not have.*Begin with a snapshot"
    ):
        Engine().follow(blocks[0])
    with pytest.raises(Diverged, match="whose rules this program does not have"):
        re_executed(Engine(), blocks[0])
