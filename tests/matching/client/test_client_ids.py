"""Refused client ids: a client takes a new one by itself, and says so if the result of a batch is not known."""

from contextlib import closing
from typing import Any

import pytest

from matching.client.client import Client
from matching.client.connection import Connection
from matching.core import clients as rules
from matching.core.errors import EngineRefused, NoAnswer
from matching.transport import wire
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching.small_exchange import Running, deposit

IDLE_BLOCKS = 5


@pytest.fixture
def running(running_leader: Running, monkeypatch: pytest.MonkeyPatch) -> Running:
    """A leader that forgets clients after a few blocks."""
    monkeypatch.setattr(rules, "IDLE_BLOCKS", IDLE_BLOCKS)
    with Client(running_leader.commands) as client:
        client.call(DEFINITIONS)
    return running_leader


def let_blocks_pass(running: Running, name: str) -> None:
    with Client(running.commands) as other:
        for at in range(IDLE_BLOCKS + 1):
            assert other.call([deposit(9, f"{name}-{at}")])[0].rejected is None


def test_a_forgotten_client_takes_a_new_id_and_its_batches_are_applied_once(running: Running) -> None:
    with Client(running.commands, batch_commands=2) as client:
        client.call([deposit(1, "before")])
        first_id = client.connection.client_id
        let_blocks_pass(running, "idle")
        assert running.parts.engine.clients.get(first_id) is None
        results = client.call([deposit(1, f"after-{at}") for at in range(7)])
        assert [result.rejected for result in results] == [None] * 7
        assert len({result.command_sequence for result in results}) == 7
        assert client.connection.client_id > first_id
        (again,) = client.call([deposit(1, "after-0")])
        assert again.rejected == "duplicate_reference"
    ((_, _, available, _),) = [row for row in running.parts.engine.balances() if row[0] == 1]
    assert available == 8 * 1000 * 10**8


def test_a_client_that_has_sent_nothing_yet_takes_an_id_above_the_floor(running: Running) -> None:
    with Client(running.commands, time_ns=lambda: 1) as slow, Client(running.commands) as other:
        other.call([deposit(2, "other")])
        let_blocks_pass(running, "first")
        assert slow.connection.client_id < running.parts.engine.clients.floor_of(0)
        assert slow.call([deposit(1, "late")])[0].rejected is None
        assert slow.connection.client_id > running.parts.engine.clients.floor_of(0)


def test_a_client_id_that_was_given_is_not_replaced_and_the_refusal_is_told(running: Running) -> None:
    with Client(running.commands, client_id=77) as client:
        client.call([deposit(1, "before")])
        let_blocks_pass(running, "idle")
        with pytest.raises(EngineRefused, match=r"^The engine has forgotten client id 77 or never knew it") as refused:
            client.call([deposit(1, "after")])
        assert refused.value.code == wire.CLIENT_FORGOTTEN
        assert client.call([deposit(1, "after")])[0].rejected is None


def test_a_batch_that_may_have_been_applied_under_a_forgotten_id_is_reported_as_unknown(running: Running) -> None:
    with Client(running.commands, timeout_s=1.5) as client:
        client.call([deposit(1, "before")])
        let_blocks_pass(running, "idle")
        with closing(client.connection) as connection:
            _count_a_lost_sending(connection)
            with pytest.raises(NoAnswer, match=r"an earlier sending of it is unanswered|did not answer within"):
                client.call([deposit(1, "after")])


def _count_a_lost_sending(connection: Connection) -> None:
    """As if each batch had been sent once more, to an engine that is gone."""
    real = connection._post_batch

    def post(batch: Any) -> None:
        batch.sendings += 1 if not batch.sendings else 0
        real(batch)

    connection._post_batch = post  # type: ignore[method-assign]


def test_a_window_of_batches_is_sent_again_in_order_with_a_new_id(running: Running) -> None:
    with Client(running.commands) as client:
        client.call([deposit(1, "before")])
        let_blocks_pass(running, "idle")
        results = client.call([deposit(1, f"w-{at}") for at in range(3000)])
        sequences = [result.command_sequence or 0 for result in results]
        assert sequences == sorted(sequences)
        assert len(set(sequences)) == 3000
        assert not any(result.rejected for result in results)


def test_a_batch_whose_answer_is_lost_is_answered_again_however_many_batches_were_waiting(running: Running) -> None:
    """The engine keeps the newest batches of a client, so the client stops sending before it forgets this one."""
    with Client(running.commands, batch_commands=1) as client:
        client.call([deposit(1, "before")])
        connection = client.connection
        lost = connection.next_number
        _lose_the_first_answer_to(connection, lost)
        results = client.call([deposit(1, f"w-{at}") for at in range(3 * rules.WINDOW)])
        sequences = [result.command_sequence or 0 for result in results]
        assert sequences == list(range(sequences[0], sequences[0] + 3 * rules.WINDOW))
        assert not any(result.rejected for result in results)


def _lose_the_first_answer_to(connection: Connection, number: int) -> None:
    real, lost = connection._take_answer, list[int]()

    def take(answer: wire.Answer) -> None:
        if answer.first_number != number or lost:
            real(answer)
        else:
            lost.append(number)

    connection._take_answer = take  # type: ignore[method-assign]


def test_an_id_of_another_key_is_replaced_as_if_by_chance(running: Running) -> None:
    with Client(running.commands) as client:
        engine = running.parts.engine
        engine.clients._put(client.connection.client_id, rules.Client(owner=5, last_number=3))
        assert client.call([deposit(1, "mine")])[0].rejected is None
