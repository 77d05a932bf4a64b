"""Snapshots: a restored engine continues as the original does, and damaged snapshots are refused."""

from random import Random

import numpy as np
import pytest

from matching.core import layout, snapshots
from matching.core.clients import FIRST_LOG_CLIENT, Client, Clients
from matching.core.engine import Engine
from matching.core.errors import BadFile
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching.exchanges import KernelExchange, lines
from tests.matching.small_exchange import deposit, order, trading
from tests.reference.streams import random_commands


def engine_of(commands: list[dict[str, object]]) -> Engine:
    exchange = KernelExchange()
    for command in commands:
        exchange.submit(command)
    return exchange.engine


@pytest.fixture(scope="module")
def small() -> bytes:
    """With open orders, a client order id and references."""
    return snapshots.encode(engine_of([*DEFINITIONS, *trading(5), order(1, "sell", "200.00", client_order_id="a")]))


@pytest.mark.parametrize("seed", [21, 22])
def test_a_restored_engine_makes_the_same_bytes(seed: int) -> None:
    one, other = KernelExchange(), KernelExchange()
    for number, command in enumerate(random_commands(seed, 1500, instruments=3, accounts=9)):
        if number % 100 == 50:
            other.restart()
        assert lines(one.submit(command)) == lines(other.submit(command)), f"command {number}: {command}"
        assert one.engine.state_hash == other.engine.state_hash, f"command {number}: {command}"
    assert one.state() == other.state()


def test_a_restored_engine_has_the_same_state(small: bytes) -> None:
    before = snapshots.decode(small)
    before.clients = Clients.of([(7, Client(5, 99, 3, ((90, 1), (95, 2))))], [(5, 6)], 4, [(FIRST_LOG_CLIENT, 8)])
    after = snapshots.decode(snapshots.encode(before))
    for name in ("shard", "epoch", "clients", "block_number", "state_hash", "timestamp_ns"):
        assert getattr(after, name) == getattr(before, name), name
    assert after.next_command_sequence == before.next_command_sequence
    assert after.next_event_sequence == before.next_event_sequence
    assert after.registry.dump() == before.registry.dump()
    assert after.balances() == before.balances()
    assert after.open_orders() == before.open_orders()


def test_a_restored_engine_has_the_values_of_an_updated_instrument() -> None:
    values = {"maker_fee": 3, "min_quantity": "0.5", "price_band": 100_000, "max_open_orders": 2}
    update = {"command": "instrument_update", "symbol": "BTC-USD", **values}
    exchange, follower = KernelExchange(), Engine()
    for command in [*DEFINITIONS, update, *trading(2)]:
        exchange.submit(command)
        follower.follow(exchange.block)
    after = snapshots.decode(snapshots.encode(exchange.engine))
    (instrument,) = after.registry.instruments
    assert instrument.definition().items() >= values.items()
    assert after.registry.dump() == exchange.engine.registry.dump() == follower.registry.dump()
    small = order(1, "sell", "100.00", "0.4")
    refused = exchange.submit(small)
    assert refused[0]["reason"] == "invalid_quantity"
    for engine in (after, follower):
        assert engine.follow(exchange.block).data == exchange.block.data


def test_the_same_engine_gives_the_same_bytes(small: bytes) -> None:
    assert snapshots.encode(snapshots.decode(small)) == small


def test_writing_a_snapshot_does_not_change_the_engine(small: bytes) -> None:
    exchange = KernelExchange()
    exchange.engine = snapshots.decode(small)
    kept = snapshots.encode(exchange.engine)
    exchange.submit(deposit(3, "later"))
    assert kept == small
    assert snapshots.encode(exchange.engine) != small


def test_an_empty_engine_is_written_and_restored() -> None:
    restored = snapshots.decode(snapshots.encode(Engine(shard=3, epoch=2)))
    assert (restored.shard, restored.epoch, restored.block_number, restored.balances()) == (3, 2, 0, [])


def test_only_slots_in_use_are_written() -> None:
    pools = engine_of(DEFINITIONS).pools
    unused = pools.orders.nbytes + pools.levels.nbytes + pools.children.nbytes
    assert unused > 1 << 20
    assert len(snapshots.encode(engine_of(DEFINITIONS))) < sum(array.nbytes for array in pools) - unused + 1000


def test_every_cut_is_refused(small: bytes) -> None:
    for size in [*range(200), *range(200, len(small), 997), len(small) - 1]:
        with pytest.raises(BadFile, match=r"\.$"):
            snapshots.decode(small[:size])
    with pytest.raises(BadFile, match="truncated or damaged"):
        snapshots.decode(small + b"\0")


def test_flipped_bits_are_refused(small: bytes) -> None:
    random = Random(1)
    bits = [*range(8 * 200), *(random.randrange(8 * len(small)) for _ in range(300))]
    for bit in bits:
        data = bytearray(small)
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadFile):
            snapshots.decode(bytes(data))


def test_another_layout_is_refused_by_its_number(small: bytes) -> None:
    other = np.uint32(layout.LAYOUT_VERSION + 1)
    with pytest.raises(
        BadFile, match=rf"has layout {other}, this program reads layouts 1 to {layout.LAYOUT_VERSION}\."
    ):
        snapshots.decode(small[:4] + other.tobytes() + small[8:])


@pytest.mark.parametrize("data", [b"", b"XSNP", b"XBLK" + bytes(100), bytes(1000), b"XSNP" + bytes(20)])
def test_bytes_that_are_not_a_snapshot_are_refused(data: bytes) -> None:
    with pytest.raises(BadFile, match=r"\.$"):
        snapshots.decode(data)


def test_random_bytes_are_refused_with_the_documented_error(small: bytes) -> None:
    random = Random(2)
    for _ in range(10_000):
        data = random.randbytes(random.randrange(120))
        kept = random.choice((0, 4, 8, 16, 24))
        with pytest.raises(BadFile):
            snapshots.decode(small[:kept] + data)
