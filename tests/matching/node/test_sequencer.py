import numpy as np
import pytest
from numba import config

from matching.core import layout
from matching.core.blocks import Block
from matching.core.codes import CommandFlag, EventKind
from matching.core.engine import Engine
from matching.core.errors import BadMessage
from matching.core.kernel import limits
from matching.node.follower import re_executed
from matching.node.sequencer import Sequenced, Sequencer
from matching.storage.ring import Ring
from matching.transport import wire
from matching.workloads.btc_usd import BTC, DEFINITIONS
from tests.matching.small_exchange import batch, defined_engine, deposit, order


def sequencer_of(engine: Engine, block_commands: int = 4, ring_blocks: int = 100) -> tuple[Sequencer, Ring]:
    ring = Ring(ring_blocks, 1 << 20)
    return Sequencer(engine, ring, lambda: 1_000, block_commands), ring


def deposits(first: int, last: int) -> list[dict[str, object]]:
    return [deposit(number, f"reference {number}") for number in range(first, last + 1)]


def answer(done: Sequenced, index: int = 0) -> wire.Answer:
    encoded = done.answers[index]
    assert isinstance(encoded, bytes)
    return wire.decode_answer(encoded)


def shape(answered: wire.Answer) -> list[tuple[int, int, int, int, list[int]]]:
    return [
        (
            segment.first_number,
            segment.block_number,
            segment.first_command_sequence,
            segment.command_count,
            segment.events["account"].tolist(),
        )
        for segment in answered.segments
    ]


def test_small_batches_share_a_block_and_each_gets_its_own_events(engine: Engine) -> None:
    sequencer, _ = sequencer_of(engine)
    done = sequencer.sequence([batch(engine, 7, 1, deposits(1, 2)), batch(engine, 8, 1, deposits(3, 3))])
    (block,) = done.blocks
    assert [request[:2] + request[4:] for request in block.requests.tolist()] == [(7, 1, 2, 0), (8, 1, 1, 0)]
    assert shape(answer(done, 0)) == [(1, 4, 4, 2, [1, 2])]
    assert shape(answer(done, 1)) == [(1, 4, 6, 1, [3])]
    assert [block.text(command) for command in block.commands] == ["reference 1", "reference 2", "reference 3"]


def test_a_block_ends_when_it_is_full(engine: Engine) -> None:
    sequencer, _ = sequencer_of(engine)
    done = sequencer.sequence([batch(engine, 7, 1, deposits(1, 3)), batch(engine, 8, 1, deposits(4, 10))])
    assert [block.command_count for block in done.blocks] == [4, 4, 2]
    assert shape(answer(done, 1)) == [(1, 4, 7, 1, [4]), (2, 5, 8, 4, [5, 6, 7, 8]), (6, 6, 12, 2, [9, 10])]
    assert [block.text(command) for block in done.blocks for command in block.commands] == [
        f"reference {number}" for number in range(1, 11)
    ]


def test_a_block_ends_after_a_command_on_reference_data() -> None:
    engine = Engine()
    sequencer, _ = sequencer_of(engine)
    done = sequencer.sequence([batch(engine, 7, 1, [BTC])])
    done = sequencer.sequence(
        [batch(engine, 7, 2, [deposit(1, "a"), DEFINITIONS[1]]), batch(engine, 8, 1, [deposit(2, "b")])]
    )
    assert [block.command_count for block in done.blocks] == [2, 1]
    assert done.blocks[0].events["kind"].tolist() == [EventKind.DEPOSITED, EventKind.ASSET_ADDED]


def test_a_repeated_batch_is_answered_and_not_applied_again(engine: Engine) -> None:
    sequencer, _ = sequencer_of(engine)
    repeated = batch(engine, 7, 1, deposits(1, 6))
    first = sequencer.sequence([repeated])
    again = sequencer.sequence([repeated])
    assert again.blocks == []
    assert again.answers == first.answers
    assert sequencer.answer_repeated(repeated) == first.answers[0]


def test_only_the_new_part_of_a_batch_that_was_applied_in_part_is_applied(engine: Engine) -> None:
    """As after a crash between the two blocks of a batch that was cut."""
    whole = batch(engine, 7, 1, deposits(1, 4))
    blocks = sequencer_of(defined_engine(), block_commands=2)[0].sequence([whole]).blocks
    assert [one.requests.tolist() for one in blocks] == [
        [(7, 1, 0, whole.digest, 2, 0)],
        [(7, 3, 0, whole.digest, 2, 2)],
    ]
    sequencer, ring = sequencer_of(engine)
    ring.append(re_executed(engine, blocks[0]))
    done = sequencer.sequence([whole])
    assert [block.command_count for block in done.blocks] == [2]
    assert shape(answer(done)) == [(1, 4, 4, 2, [1, 2]), (3, 5, 6, 2, [3, 4])]
    assert engine.clients.last_number(7, 0) == 4
    assert engine.clients.known[7].batches == ((1, whole.digest),)
    assert sequencer.answer_repeated(batch(engine, 7, 1, deposits(1, 5))) is None


def test_a_batch_received_twice_in_one_turn_is_applied_once(engine: Engine) -> None:
    sequencer, _ = sequencer_of(engine)
    twice = batch(engine, 7, 1, deposits(1, 3))
    done = sequencer.sequence([twice, twice])
    assert [block.command_count for block in done.blocks] == [3]
    assert done.answers[0] == done.answers[1]


def test_a_batch_that_skips_numbers_is_refused_until_its_predecessor_is_applied(engine: Engine) -> None:
    sequencer, _ = sequencer_of(engine)
    first, second = batch(engine, 7, 1, deposits(1, 2)), batch(engine, 7, 3, deposits(3, 4))
    done = sequencer.sequence([second])
    assert done.blocks == []
    (refused,) = done.answers
    assert isinstance(refused, wire.Refused)
    assert (refused.code, refused.client, refused.first_number, refused.applied_number) == ("out_of_order", 7, 3, 0)
    done = sequencer.sequence([second, first, second])
    assert [type(one) for one in done.answers] == [wire.Refused, bytes, bytes]
    assert engine.clients.last_number(7, 0) == 4


def test_a_batch_is_compared_with_those_before_it_in_the_same_turn(engine: Engine) -> None:
    sequencer, _ = sequencer_of(engine, block_commands=100)
    first, following = batch(engine, 7, 1, deposits(1, 2)), batch(engine, 7, 3, deposits(3, 4))
    done = sequencer.sequence([first, batch(engine, 7, 1, deposits(5, 6)), following._replace(owner=5), following])
    assert [getattr(one, "code", "answered") for one in done.answers] == [
        "answered",
        "request_mismatch",
        "client_of_another_key",
        "answered",
    ]
    assert shape(answer(done, 3))[0][4] == [3, 4]


def test_a_repeated_batch_that_the_ring_has_dropped_is_answered_as_forgotten(engine: Engine) -> None:
    sequencer, ring = sequencer_of(engine, ring_blocks=1)
    for first in (1, 5, 9):
        ring.release()
        ring.confirm(ring.last)
        sequencer.sequence([batch(engine, 7, first, deposits(first, first + 3))])
    done = sequencer.sequence([batch(engine, 7, 5, deposits(5, 8))])
    assert done.blocks == []
    assert shape(answer(done)) == [(5, 0, 0, 4, [])]


def test_block_times_never_decrease(engine: Engine) -> None:
    times = iter([5_000, 5_000, 4_000, 6_000])  # also read for the batch of a client that is not known yet
    sequencer = Sequencer(engine, Ring(100, 1 << 20), lambda: next(times), 4)
    blocks = [sequencer.sequence([batch(engine, 7, n, deposits(n, n))]).blocks[0] for n in (1, 2, 3)]
    assert [block.timestamp_ns for block in blocks] == [5_000, 5_000, 6_000]


@pytest.mark.parametrize("block_commands", [1, 3, 1000])
def test_executing_the_blocks_again_gives_the_same_state(block_commands: int) -> None:
    engine = defined_engine()
    sequencer, _ = sequencer_of(engine, block_commands)
    blocks: list[Block] = []
    numbers = dict.fromkeys(range(1, 6), 1)
    random = np.random.default_rng(1)
    for turn in range(20):
        batches = []
        for _ in range(int(random.integers(1, 6))):
            client, size = int(random.integers(1, 6)), int(random.integers(1, 8))
            first = numbers[client]
            numbers[client] += size
            batches.append(
                batch(engine, client, first, [deposit(client, f"{turn} {first + at}") for at in range(size)])
            )
        blocks += sequencer.sequence(batches).blocks
    again = defined_engine()
    for block in blocks:
        re_executed(again, block)
    assert (again.state_hash, again.clients) == (engine.state_hash, engine.clients)


# Orders that belong together

OCO = {"command": "oco", "account": 1, "symbol": "BTC-USD", "side": "sell", "quantity": "1", "price": "200.00"}
OCO |= {"trigger_price": "50.00"}
DEPENDENT = {**order(1, "sell", "300.00"), "requires_previous": True}


@pytest.mark.parametrize(
    ("block_commands", "before", "sizes"), [(4, 3, [3, 2]), (4, 2, [4]), (4, 4, [4, 2]), (1, 1, [1, 2]), (2, 1, [1, 2])]
)
def test_an_order_list_is_not_cut(block_commands: int, before: int, sizes: list[int]) -> None:
    for batches in ([deposits(1, before), [OCO]], [[*deposits(1, before), OCO]]):
        made = defined_engine()
        sequencer, _ = sequencer_of(made, block_commands)
        done = sequencer.sequence([batch(made, 7 + at, 1, one) for at, one in enumerate(batches)])
        assert [block.command_count for block in done.blocks] == sizes
        (accepted,) = (segment for segment in answer(done, len(batches) - 1).segments[-1:])
        assert accepted.events["kind"][-2:].tolist() == [EventKind.ORDER_ACCEPTED] * 2
        again = defined_engine()
        for block in done.blocks:
            re_executed(again, block)


def dependent(engine: Engine, client: int, first_number: int) -> wire.Batch:
    """A batch whose first order requires the client's command before it."""
    made = batch(engine, client, first_number, [DEPENDENT])
    made.commands["flags"] = CommandFlag.REQUIRES_PREVIOUS
    return made


def test_an_order_that_requires_the_last_command_of_another_batch_begins_a_block(engine: Engine) -> None:
    sequencer, _ = sequencer_of(engine)
    refused = batch(engine, 8, 1, [order(5, "sell", "300.00")])
    funds = batch(engine, 7, 1, [deposit(1, "a")])
    done = sequencer.sequence(
        [funds, refused, dependent(engine, 7, 2), dependent(engine, 8, 2), dependent(engine, 9, 1)]
    )
    assert [block.command_count for block in done.blocks] == [2, 1, 1, 1]
    kinds = [answer(done, index).segments[0].events["kind"].tolist() for index in range(5)]
    assert kinds[2:] == [[EventKind.ORDER_ACCEPTED], [EventKind.REJECTED], [EventKind.REJECTED]]
    again = defined_engine()
    for block in done.blocks:
        re_executed(again, block)
    forged = Block.encode(
        number=engine.block_number + 1,
        timestamp_ns=engine.timestamp_ns,
        first_command_sequence=engine.next_command_sequence,
        first_event_sequence=engine.next_event_sequence,
        prev_hash=engine.state_hash,
        requests=np.array([(7, 3, 0, 0, 1, 0), (8, 3, 0, 0, 1, 0)], layout.REQUEST),
        commands=np.concatenate([dependent(engine, 7, 3).commands, dependent(engine, 8, 3).commands]),
        events=np.zeros(0, layout.EVENT),
        texts=b"",
    )
    with pytest.raises(BadMessage, match="begins a request"):
        engine.follow(forged)


def test_a_turn_goes_on_after_a_block_that_the_engine_ended(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    if not config.DISABLE_JIT:
        pytest.skip("compiled limits are constants")
    monkeypatch.setattr(limits, "MAX_BLOCK_EVENTS", 2)
    sequencer, _ = sequencer_of(engine, 100)
    done = sequencer.sequence([batch(engine, 7, 1, deposits(1, 3)), batch(engine, 8, 1, deposits(4, 5))])
    assert [block.command_count for block in done.blocks] == [2, 2, 1]
    assert shape(answer(done, 0)) == [(1, 4, 4, 2, [1, 2]), (3, 5, 6, 1, [3])]
    assert shape(answer(done, 1)) == [(1, 5, 7, 1, [4]), (2, 6, 8, 1, [5])]
