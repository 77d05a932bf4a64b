"""Finding the leader, and connections that switch to it: scripted engines, no threads, no waiting."""

import itertools
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from matching.client.connection import Connection
from matching.client.in_flight import Answered
from matching.client.leaders import EngineDirectory, Leader, LeaderSearch, engine_directory, reachable
from matching.core import layout
from matching.core.errors import EngineRefused, EngineUnreachable, NoAnswer
from matching.transport import wire
from tests.matching.stages import ScriptedNetwork, ScriptedSocket

A, B, C = "tcp://a:1", "tcp://b:1", "tcp://c:1"


def status(address: str, role: str, epoch: int, followers: Sequence[str] = ()) -> bytes:
    def listens(at: str) -> dict[str, str]:
        return asdict(wire.Addresses(at, f"{at}1", f"{at}2"))

    return wire.encode_json(
        {
            "role": role,
            "epoch": epoch,
            "block": 1,
            "state_hash": "ff",
            "ring": {"confirmed": 0},
            "addresses": listens(address),
            "followers": [listens(follower) for follower in followers],
        }
    )


class Engines(ScriptedNetwork):
    """Engines that answer a connection while it waits. `roles`: address → (role, epoch); who is not there is silent."""

    def __init__(self, roles: dict[str, tuple[str, int]]) -> None:
        super().__init__()
        self.roles = roles
        self.leader_named = ""
        self.followers: Sequence[str] = ()
        self.applied: dict[str, int] = {}  # address → last number, of the only client
        self.taken: list[tuple[str, int]] = []  # (address, first number) in the order of arrival
        self.asked: list[str] = []
        self.tokens = itertools.count(1)

    def wait(self, sockets: Sequence[Any], timeout_s: float) -> bool:
        for address, socket in self.everyone:
            if address in self.roles and not socket.is_closed:
                sent, socket.sent = socket.sent, []
                for frames in sent:
                    self._hear(address, socket, frames)
        return super().wait(sockets, timeout_s)

    def _hear(self, address: str, socket: ScriptedSocket, frames: list[bytes]) -> None:
        role, epoch = self.roles[address]
        if frames[0] == wire.STATUS:
            self.asked.append(address)
            payload = status(address, role, epoch, self.followers)
            socket.inbox.append([wire.STATUS, payload, frames[1]])
            return
        batch = wire.decode_batch(frames[1])
        self.taken.append((address, batch.first_number))
        applied = self.applied.setdefault(address, 0)
        if role not in ("leader", "replica"):
            refused = wire.Refused(wire.FOLLOWER, "No.", batch.client, batch.first_number, leader=self.leader_named)
        elif applied < batch.first_number - 1:
            refused = wire.Refused(wire.OUT_OF_ORDER, "Not the next.", batch.client, batch.first_number, applied)
        else:
            self.applied[address] = max(applied, batch.last_number)
            segment = wire.Segment(batch.first_number, 1, 1, len(batch.commands), np.zeros(0, layout.EVENT))
            answer = wire.encode_answer(batch.client, batch.first_number, len(batch.commands), [segment])
            socket.inbox.append([wire.ANSWER, answer])
            return
        socket.inbox.append([wire.REFUSED, wire.encode_refused(refused)])


def connected(engines: Engines, *addresses: str, timeout_s: float = 10.0, failover: bool = True) -> Connection:
    return Connection(
        addresses,
        timeout_s=timeout_s,
        failover=failover,
        client_id=7,
        make_network=lambda: engines,
        clock=engines.clock,
        random_bytes=lambda size: next(engines.tokens).to_bytes(size, "little"),
    )


def send(connection: Connection, count: int = 1) -> None:
    for _ in range(count):
        connection.send(np.zeros(1, layout.COMMAND), b"")


def all_answers(connection: Connection) -> list[int]:
    """First numbers of what was answered, once all is."""
    found: list[Answered] = []
    while connection.in_flight:
        found += connection.receive(0.1)
    return [one.answer.first_number for one in found]


def found_by(engines: Engines, *addresses: str, epoch: int = 0, patience_s: float = 5.0) -> Leader | None:
    search = LeaderSearch(engines, EngineDirectory(list(addresses), epoch), engines.clock)
    until_s = engines.now_s + patience_s
    while (found := search.poll()) is None and engines.now_s < until_s:
        engines.wait(search.sockets, max(0.0, search.due_s - engines.now_s))
    search.close()
    assert all(socket.is_closed for _, socket in engines.everyone)
    return found


def test_the_leader_is_found_at_once_when_all_engines_answer() -> None:
    engines = Engines({A: ("follower", 2), B: ("leader", 2), C: ("follower", 1)})
    assert found_by(engines, A, B, C) == Leader(B, 2)
    assert engines.now_s == 100.0


def test_of_two_engines_that_claim_to_lead_the_newer_epoch_wins() -> None:
    assert found_by(Engines({A: ("leader", 1), B: ("leader", 2)}), A, B) == Leader(B, 2)


def test_a_silent_engine_delays_the_search_only_briefly() -> None:
    engines = Engines({B: ("leader", 2)})
    assert found_by(engines, A, B) == Leader(B, 2)
    assert engines.now_s < 100.5


def test_a_leader_of_an_older_epoch_is_ignored() -> None:
    assert found_by(Engines({A: ("leader", 1), B: ("follower", 2)}), A, B, epoch=2) is None


def test_followers_listed_in_a_status_are_asked_too() -> None:
    engines = Engines({A: ("follower", 1), C: ("leader", 2)})
    engines.followers = [C]
    assert found_by(engines, A) == Leader(C, 2)


def test_addresses_are_a_list_or_separated_by_commas() -> None:
    assert (
        engine_directory("tcp://a:1, tcp://b:1").addresses
        == engine_directory(["tcp://a:1", "tcp://b:1"]).addresses
        == [A, B]
    )
    shared = EngineDirectory([A])
    assert engine_directory(shared) is shared
    shared.add(f"tcp://{number}:1" for number in range(100))
    assert len(shared.addresses) == 32


def test_a_wildcard_host_is_replaced_by_the_host_at_which_the_engine_was_reached() -> None:
    everywhere = wire.Addresses("tcp://0.0.0.0:1", "tcp://*:2", "tcp://10.0.0.1:3")
    assert reachable(everywhere, "tcp://b:9") == wire.Addresses("tcp://b:1", "tcp://b:2", "tcp://10.0.0.1:3")


def test_a_connection_switches_to_the_new_leader_and_resends_everything_oldest_first() -> None:
    engines = Engines({A: ("leader", 1), B: ("follower", 1)})
    engines.followers = [B]
    connection = connected(engines, A)
    send(connection)
    assert all_answers(connection) == [1]
    engines.roles = {}
    send(connection, 3)
    assert connection.receive(0.9) == []
    engines.roles, engines.applied[B], engines.taken = {B: ("leader", 2)}, 2, []
    assert all_answers(connection) == [2, 3, 4]
    assert engines.taken == [(B, 2), (B, 3), (B, 4)]
    assert (connection.address, connection.directory.epoch) == (B, 2)


def test_a_connection_does_not_return_to_a_leader_of_an_older_epoch() -> None:
    engines = Engines({A: ("leader", 1), B: ("leader", 2)})
    connection = connected(engines, A, B, timeout_s=5.0)
    assert connection.ask(wire.STATUS)["epoch"] == 2, "a question waits for who leads"
    send(connection)
    assert all_answers(connection) == [1]
    assert connection.address == B
    engines.roles = {A: ("leader", 1)}
    engines.taken = []
    send(connection)
    with pytest.raises(NoAnswer):
        all_answers(connection)
    assert engines.taken == []
    engines.roles[B] = ("leader", 3)
    connection.retry()
    assert all_answers(connection) == [2]


def test_a_leader_that_turns_out_to_have_an_older_epoch_is_abandoned() -> None:
    engines = Engines({A: ("leader", 1), B: ("leader", 2)})
    connection = connected(engines, A)
    connection.directory.add([B])
    connection.directory.epoch = 2
    connection.receive(1.0)
    send(connection)
    assert all_answers(connection) == [1]
    assert connection.address == B


def test_a_connection_switches_to_the_leader_that_a_follower_names() -> None:
    engines = Engines({A: ("follower", 1), C: ("leader", 1)})
    engines.leader_named = C
    connection = connected(engines, A)
    send(connection, 2)
    assert all_answers(connection) == [1, 2]
    assert (connection.address, engines.now_s) == (C, 100.0)


def test_a_follower_that_knows_no_leader_may_become_the_leader_itself() -> None:
    engines = Engines({A: ("follower", 1)})
    connection = connected(engines, A)
    send(connection)
    assert connection.receive(2.0) == []
    engines.roles[A] = ("leader", 2)
    assert all_answers(connection) == [1]


def test_while_no_engine_leads_the_search_lasts_until_the_timeout() -> None:
    engines = Engines({A: ("follower", 1), B: ("follower", 1)})
    connection = connected(engines, A, B, timeout_s=3.0)
    send(connection)
    with pytest.raises(NoAnswer, match="None of the engines at tcp://a:1, tcp://b:1 leads"):
        all_answers(connection)
    assert 103.0 <= engines.now_s < 103.6
    assert engines.asked.count(B) > 4


@pytest.mark.parametrize("answered", [1, 3])
def test_a_new_leader_that_lacks_answered_commands_is_reported(answered: int) -> None:
    engines = Engines({A: ("leader", 1)})
    connection = connected(engines, A, B)
    send(connection, 5)
    assert all_answers(connection) == [1, 2, 3, 4, 5]
    engines.roles, engines.applied[B] = {B: ("leader", 2)}, answered
    send(connection, 2)
    with pytest.raises(
        EngineRefused, match=rf"commands up to {answered}, and those up to 5 were answered .* are lost"
    ) as caught:
        all_answers(connection)
    assert caught.value.code == wire.OUT_OF_ORDER
    assert connection.in_flight == 0


def test_a_refusal_followed_by_an_answer_is_ignored() -> None:
    engines = Engines({A: ("leader", 1)})
    connection = connected(engines, A)
    send(connection, 2)
    socket = engines.sockets[A]
    batches = [frames for frames in socket.sent if frames[0] == wire.COMMANDS]
    socket.sent = [batches[0]]
    engines.wait([], 0)
    stale = wire.Refused(wire.OUT_OF_ORDER, "Not the next.", 7, 2, 0)
    socket.inbox.append([wire.REFUSED, wire.encode_refused(stale)])
    assert all_answers(connection) == [1, 2]


class Refusing(Engines):
    """Those of `refuses` refuse every batch (address → code)."""

    def __init__(self, roles: dict[str, tuple[str, int]]) -> None:
        super().__init__(roles)
        self.refuses: dict[str, str] = {}

    def _hear(self, address: str, socket: ScriptedSocket, frames: list[bytes]) -> None:
        code = self.refuses.get(address)
        if code is None or frames[0] != wire.COMMANDS:
            super()._hear(address, socket, frames)
            return
        refused = wire.Refused(code, "Not now.", 7, wire.decode_batch(frames[1]).first_number)
        socket.inbox.append([wire.REFUSED, wire.encode_refused(refused)])


def test_a_batch_that_halted_engines_refused_every_time_was_not_applied() -> None:
    engines = Refusing({A: ("replica", 1)})
    engines.refuses = {A: wire.ENGINE_HALTED}
    connection = connected(engines, A, timeout_s=3.0)
    send(connection)
    with pytest.raises(EngineRefused, match="Not now") as caught:
        all_answers(connection)
    assert caught.value.code == wire.ENGINE_HALTED


@pytest.mark.parametrize("code", [wire.ENGINE_HALTED, wire.BAD_MESSAGE])
def test_a_batch_that_was_also_sent_to_a_silent_replica_is_in_doubt_even_if_the_next_one_refuses_it(code: str) -> None:
    """The silent one may have written it to the log, from which it is read after the refusal."""
    engines = Refusing({A: ("replica", 1)})
    connection = connected(engines, A, B, timeout_s=5.0)
    send(connection)
    assert all_answers(connection) == [1]
    engines.roles, engines.refuses = {B: ("replica", 1)}, {B: code}
    send(connection)
    with pytest.raises(NoAnswer, match=r"refused the batch, .* unanswered and may still be applied: Not now"):
        all_answers(connection)
    assert connection.in_flight == 1
    engines.refuses, engines.applied[B] = {}, 1
    connection.retry()
    assert all_answers(connection) == [2]


@pytest.mark.parametrize("code", [wire.NOT_PERMITTED, wire.FOLLOWER])
def test_a_batch_that_was_sent_again_and_refused_then_waits_for_the_answer_to_the_first_sending(code: str) -> None:
    """The key was revoked, or the engine became a follower, after it had taken the first sending."""
    engines = Refusing({})
    connection = connected(engines, A, timeout_s=3.0, failover=False)
    send(connection)
    engines.now_s += 0.6
    connection.receive(0)  # sends it again
    (address, socket), engines.roles = engines.everyone[0], {A: ("leader", 1)}
    first, second = socket.sent
    socket.sent, engines.refuses = [second], {A: code}
    connection.receive(0.2)
    engines.refuses = {}
    engines._hear(address, socket, first)
    assert all_answers(connection) == [1]


def test_a_batch_is_in_doubt_if_it_was_refused_later_and_the_first_sending_is_never_answered() -> None:
    engines = Refusing({})
    connection = connected(engines, A, timeout_s=3.0, failover=False)
    send(connection)
    engines.now_s += 0.6
    connection.receive(0)
    engines.roles, engines.refuses = {A: ("leader", 1)}, {A: wire.NOT_PERMITTED}
    engines.everyone[0][1].sent.pop(0)
    with pytest.raises(NoAnswer, match=r"unanswered and may still be applied: Not now"):
        all_answers(connection)


def test_batches_in_doubt_leave_room_for_the_next_one_which_abandons_them() -> None:
    engines = Engines({})
    connection = Connection(
        [A], window=1, timeout_s=3.0, make_network=lambda: engines, clock=engines.clock, time_ns=lambda: 1
    )
    send(connection)
    assert connection.full
    with pytest.raises(EngineUnreachable):
        all_answers(connection)
    assert not connection.full
    connection.retry()
    assert connection.full
    with pytest.raises(EngineUnreachable):
        all_answers(connection)
    before = connection.client_id
    send(connection)
    assert connection.client_id > before
    assert connection.in_flight == 1


def test_a_connection_asks_for_the_other_engines_regularly() -> None:
    engines = Engines({A: ("leader", 1)})
    engines.followers = [B, C]
    connection = connected(engines, A)
    for _ in range(60):
        send(connection)
        all_answers(connection)
        engines.now_s += 0.1
    assert engines.asked == [A] * 3
    assert connection.directory.addresses == [A, B, C]


def test_a_connection_without_failover_never_switches() -> None:
    engines = Engines({B: ("leader", 1)})
    connection = Connection([A, B], failover=False, timeout_s=3.0, make_network=lambda: engines, clock=engines.clock)
    send(connection)
    with pytest.raises(EngineUnreachable, match="No engine answers at tcp://a:1: start it"):
        all_answers(connection)
    assert engines.asked == []
