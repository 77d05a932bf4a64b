"""Senders whose commands touch many orders take turns, so that they do not delay the others."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from matching.client.connection import Connection
from matching.client.edge import BatchBuilder, Edge
from matching.core import layout
from matching.core.blocks import Block
from matching.node import backlog as backlog_module
from matching.node.backlog import Backlog, Waiting
from matching.node.command_endpoint import Received
from matching.node.follower import re_executed
from matching.node.sequencer import Sequencer
from matching.node.status import Counters
from matching.storage.ring import Ring
from matching.transport import wire
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching.histories import MemoryHistory
from tests.matching.small_exchange import batch, defined_engine, deposit, leader_with, order, plan, services, until

MAKERS = 30
COST = MAKERS + 2
"""Of a FOK that every maker together cannot fill: it looks at each of them and writes two events."""


def fok(account: int, number: int) -> dict[str, Any]:
    """A FOK that every maker together cannot fill."""
    return order(
        account, "buy", "200.00", f"{MAKERS + 1}", time_in_force="fok", client_order_id=f"fok {account} {number}"
    )


def foks(account: int, count: int) -> list[dict[str, Any]]:
    return [fok(account, number) for number in range(count)]


def funds_and_makers() -> list[dict[str, Any]]:
    return [
        deposit(1, "base"),
        *(deposit(account, f"quote {account}", "USD", "1000000000") for account in (2, 3, 4)),
        *(order(1, "sell", "100.00") for _ in range(MAKERS)),
    ]


class House:
    """An engine with makers, a sequencer with blocks of 8 commands, and a backlog; `turn` is a turn of the leader."""

    def __init__(self, budget: int) -> None:
        self.engine = defined_engine()
        self.sequencer = Sequencer(self.engine, Ring(10_000, 1 << 26), lambda: 1_000, 8)
        self.counters = Counters()
        self.now_s = 100.0
        self.backlog = Backlog(self.counters, lambda: self.now_s)
        self.budget = budget
        self.blocks: list[Block] = []
        self.answers: dict[tuple[int, int], wire.Answer] = {}
        self.numbers: dict[int, int] = {}
        self.apply(1, funds_and_makers())

    def received(self, client: int, commands: Sequence[Mapping[str, Any]], lane: bytes = b"") -> Received:
        first = self.numbers.get(client, 1)
        self.numbers[client] = first + len(commands)
        connection = b"connection %d" % client
        return Received(connection, batch(self.engine, client, first, commands), lane or connection)

    def apply(self, client: int, commands: Sequence[Mapping[str, Any]]) -> None:
        done = self.sequencer.sequence([self.received(client, commands).batch])
        self.blocks += done.blocks

    def turn(self, received: Iterable[Received] = ()) -> None:
        self.sequence(self.backlog.take(received))
        self.backlog.run(self.sequence)

    def sequence(self, batches: list[Waiting]) -> None:
        while batches:
            done = self.sequencer.sequence(
                [one.batch for one in batches], budget=self.budget, earlier=batches[0].segments
            )
            self.blocks += done.blocks
            for one, answer in zip(batches, done.answers, strict=True):
                assert not isinstance(answer, wire.Refused)
                if answer is not None:
                    self.answers[one.batch.client, one.batch.first_number] = wire.decode_answer(answer)
            batches = self.backlog.keep(batches, done)

    @property
    def is_busy(self) -> bool:
        return self.backlog.due_in_s < float("inf")

    def next_waiting(self) -> Waiting:
        """Takes the batch out that is applied next."""
        taken: list[Waiting] = []
        self.now_s += 1
        self.backlog.run(taken.extend)
        (one,) = taken
        return one

    def turns_until_idle(self) -> int:
        turns = 0
        while self.is_busy:
            self.turn()
            turns += 1
        return turns


def numbers_of(answer: wire.Answer) -> list[int]:
    """Number of each command that the answer covers, in order; it has the events of all of them."""
    assert all(segment.block_number for segment in answer.segments)
    return [
        segment.first_number + at
        for segment in answer.segments
        for at in range(segment.command_count)
        if segment.first_command_sequence + at in segment.events["command_sequence"]
    ]


def test_a_block_ends_with_the_command_that_exceeds_the_budget_and_is_the_block_of_fewer_commands() -> None:
    whole, cut = House(10**9), House(10**9)
    records = batch(whole.engine, 2, 1, foks(2, 5))
    requests = np.array([(2, 1, 0, 0, 2, 0), (3, 1, 0, 0, 3, 0)], layout.REQUEST)
    block = whole.engine.apply(requests, records.commands, records.texts, 5_000, budget=2 * COST)
    assert (block.command_count, block.requests.tolist()) == (3, [(2, 1, 0, 0, 2, 0), (3, 1, 0, 0, 1, 0)])
    assert whole.engine.touched == 3 * COST
    re_executed(cut.engine, block)
    assert cut.engine.state_hash == whole.engine.state_hash


def test_a_repeated_batch_waits_when_the_one_before_it_uses_up_the_budget() -> None:
    house = House(COST)
    costly = batch(house.engine, 2, 1, foks(2, 5))
    done = house.sequencer.sequence([costly, costly], budget=COST)
    assert done.answers == [None, None]
    assert (done.costly, sorted(done.unfinished)) == (0, [0, 1])


def test_a_light_sender_does_not_wait_for_a_costly_one() -> None:
    house = House(2 * COST)
    house.turn([house.received(2, foks(2, 40)), house.received(3, [deposit(3, "light")])])
    assert (3, 1) in house.answers
    assert (2, 1) not in house.answers
    house.turn([house.received(2, foks(2, 1)), house.received(3, [deposit(3, "light again")])])
    assert (3, 2) in house.answers
    assert house.turns_until_idle() > 10
    assert numbers_of(house.answers[2, 1]) == list(range(1, 41))
    assert numbers_of(house.answers[2, 41]) == [41]


def test_costly_senders_take_turns() -> None:
    house = House(2 * COST)
    house.turn([house.received(client, foks(client, 40)) for client in (2, 3, 4)])
    done = []
    while house.is_busy:
        house.turn()
        done.append(house.engine.clients.last_number(2, 0))
        counts = [house.engine.clients.last_number(client, 0) for client in (2, 3, 4)]
        assert max(counts) - min(counts) <= 6, "a turn's budget is three commands"
    assert done[0] < done[-1] == 40


def test_lanes_have_a_share_of_the_time_while_others_send_and_all_of_it_when_they_do_not() -> None:
    house = House(2 * COST)
    house.turn([house.received(2, foks(2, 40)), house.received(3, [deposit(3, "light")])])

    def costly(batches: list[Waiting]) -> None:
        house.sequence(batches)
        house.now_s += 0.010

    house.now_s += 0.03  # the lane's turn in the first turn took no time
    house.backlog.run(costly)
    assert house.backlog.due_in_s == pytest.approx(0.010), "0.05 s after the light batch"
    house.turn([house.received(3, [deposit(3, "another")])])
    assert house.backlog.due_in_s == pytest.approx(0.050), "after this batch"
    house.now_s += 0.045
    house.turn([house.received(3, [deposit(3, "a third")])])
    assert house.backlog.due_in_s == pytest.approx(0.045), "so that lanes take a tenth of the time"
    house.now_s += 0.036
    assert house.backlog.due_in_s == pytest.approx(0.009)
    house.now_s += 0.02
    assert house.backlog.due_in_s <= 0
    house.backlog.run(costly)
    assert house.backlog.due_in_s <= 0, "nobody else sends"


def test_a_sender_with_several_connections_has_one_turn() -> None:
    house = House(2 * COST)
    house.turn([house.received(client, foks(client, 40), lane=b"key") for client in (2, 3)])
    house.turn([house.received(4, foks(4, 40))])
    while house.is_busy:
        house.turn()
        both = house.engine.clients.last_number(2, 0) + house.engine.clients.last_number(3, 0)
        if both < 80 and house.engine.clients.last_number(4, 0) < 40:
            assert abs(both - house.engine.clients.last_number(4, 0)) <= 9


def test_connections_of_a_sender_take_turns() -> None:
    house = House(2 * COST)
    house.turn([house.received(2, foks(2, 40), lane=b"key")])
    house.turn([house.received(2, foks(2, 40), lane=b"key"), house.received(3, [deposit(3, "light")], lane=b"key")])
    house.turn()
    assert (3, 1) in house.answers, "though two batches of the other connection wait"
    assert house.engine.clients.last_number(2, 0) < 40


def test_a_batch_that_waits_and_is_sent_again_is_answered_once_on_its_last_connection() -> None:
    house = House(2 * COST)
    first = house.received(2, foks(2, 40))
    house.turn([first])
    assert house.backlog.take([first._replace(sender=b"new connection")]) == []
    waiting = house.next_waiting()
    assert waiting.received.sender == b"new connection"
    assert sum(segment.command_count for segment in waiting.segments) == house.engine.clients.last_number(2, 0)
    assert not house.is_busy


def test_another_batch_with_the_numbers_of_one_that_waits_is_not_taken_for_it() -> None:
    house = House(2 * COST)
    first = house.received(2, foks(2, 40))
    house.turn([first])
    for other in (
        first._replace(batch=batch(house.engine, 2, 1, [deposit(2, "other")])),
        first._replace(batch=first.batch._replace(owner=5)),
    ):
        assert house.backlog.take([other._replace(sender=b"of another")]) == []
    assert house.next_waiting().received.sender == first.sender
    refused = [house.sequencer.sequence([house.next_waiting().received.batch]).answers[0] for _ in range(2)]
    assert [getattr(one, "code", "") for one in refused] == ["request_mismatch", "client_of_another_key"]


def test_a_batch_applied_elsewhere_meanwhile_is_answered_with_all_its_events() -> None:
    house = House(2 * COST)
    first = house.received(2, foks(2, 20))
    house.turn([first])
    waiting = house.next_waiting()
    house.sequencer.sequence([first.batch])
    answered = house.sequencer.sequence([first.batch], budget=house.budget, earlier=waiting.segments).answers[0]
    assert isinstance(answered, bytes)
    assert numbers_of(wire.decode_answer(answered)) == list(range(1, 21))


def test_batches_beyond_the_room_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog_module, "_MAX_BATCHES", 3)
    house = House(2 * COST)
    house.turn([house.received(2, foks(2, 40))])
    assert house.backlog.take([house.received(2, foks(2, 1)) for _ in range(4)]) == []
    assert house.counters.dropped_batches == 2


@pytest.mark.parametrize("seed", range(8))
def test_random_batches_under_a_budget_are_all_answered_and_the_blocks_replay(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog_module, "_MAX_BATCHES", 1000)
    random = np.random.default_rng(seed)
    house = House(int(random.integers(1, 4 * MAKERS)))
    sent: dict[tuple[int, int], int] = {}
    for turn in range(30):
        received: list[Received] = []
        for _ in range(int(random.integers(0, 5))):
            client = int(random.integers(2, 5))
            commands: list[dict[str, Any]] = []
            for at in range(int(random.integers(1, 12))):
                kind = random.integers(4)
                name = f"{turn} {len(received)} {at}"
                if kind == 0:
                    commands.append(fok(client, turn * 1000 + len(received) * 100 + at))
                elif kind == 1:
                    commands.append(order(client, "buy", "90.00", client_order_id=name))
                elif kind == 2:
                    commands.append({"command": "cancel_all", "account": client})
                else:
                    commands.append(deposit(client, name))
            sent[client, house.numbers.get(client, 1)] = len(commands)
            received.append(house.received(client, commands))
        house.turn(received)
    house.turns_until_idle()
    assert {key: len(numbers_of(answer)) for key, answer in house.answers.items()} == sent
    again = defined_engine()
    for block in house.blocks:
        re_executed(again, block)
    assert (again.state_hash, again.clients) == (house.engine.state_hash, house.engine.clients)


def test_an_order_is_answered_before_an_earlier_batch_of_costly_commands() -> None:
    small_budget = replace(plan(), touched_orders=2 * COST)
    with (
        leader_with(small_budget, services(MemoryHistory())) as running,
        closing(Connection(running.commands, failover=False)) as flooder,
        closing(Connection(running.commands, failover=False)) as other,
    ):
        builder = BatchBuilder(Edge(defined_engine().registry))
        for commands in (*([definition] for definition in DEFINITIONS), funds_and_makers()):
            send(flooder, builder, commands)
            flooder.receive(10)
        send(flooder, builder, foks(2, 300))
        until(lambda: running.parts.board.counters.deferred_batches, "the costly batch to wait")
        send(other, builder, [deposit(3, "light")])
        light = other.receive(10)[0].answer.segments[-1].block_number
        costly = flooder.receive(10)[0].answer
        assert numbers_of(costly) == list(range(costly.first_number, costly.first_number + 300))
        assert light < costly.segments[-1].block_number


def send(connection: Connection, builder: BatchBuilder, commands: Iterable[Mapping[str, Any]]) -> None:
    for command in commands:
        assert builder.add(command) is None, command
    connection.send(*builder.take())
