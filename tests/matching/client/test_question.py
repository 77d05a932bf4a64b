"""Questions to an engine, and when they are repeated: scripted engines that are slow and lose messages."""

from collections.abc import Sequence
from typing import Any

import pytest

from matching.client.connection import Connection
from matching.core.errors import NoAnswer
from matching.transport import wire
from tests.matching.stages import ScriptedNetwork, ScriptedSocket

A, B = "tcp://a:1", "tcp://b:1"
ANSWER = wire.encode_json({"block": 7})


def status(address: str) -> bytes:
    listens = {"commands": address, "blocks": f"{address}1", "retransmission": f"{address}2"}
    ring = {"confirmed": 0}
    return wire.encode_json(
        {"role": "replica", "epoch": 1, "block": 1, "state_hash": "ff", "ring": ring, "addresses": listens}
    )


class Engines(ScriptedNetwork):
    """Each answers its messages in order, a state after `work_s` in which it does nothing else. `dead`: never."""

    def __init__(self, work_s: float = 0.0) -> None:
        super().__init__()
        self.work_s = work_s
        self.at_work: dict[str, tuple[float, ScriptedSocket, list[bytes]]] = {}  # until when, and what comes of it
        self.dead: set[str] = set()
        self.lost: list[bytes] = []  # verbs of questions of which the next one does not arrive
        self.states: list[str] = []  # who was asked for a state

    def wait(self, sockets: Sequence[Any], timeout_s: float) -> bool:
        for address, socket in self.everyone:
            while self._is_free(address) and socket.sent:
                self._hear(address, socket, *socket.sent.pop(0))
        return super().wait(sockets, min(timeout_s, 0.1))

    def _is_free(self, address: str) -> bool:
        if address in self.at_work and self.now_s >= self.at_work[address][0]:
            _, socket, answer = self.at_work.pop(address)
            socket.inbox.append(answer)
        return address not in self.dead and address not in self.at_work

    def _hear(self, address: str, socket: ScriptedSocket, verb: bytes, correlation: bytes) -> None:
        if verb in self.lost:
            self.lost.remove(verb)
        elif verb == wire.STATUS:
            socket.inbox.append([verb, status(address), correlation])
        else:
            self.states.append(address)
            self.at_work[address] = self.now_s + self.work_s, socket, [verb, ANSWER, correlation]


def connected(engines: Engines, *addresses: str, timeout_s: float = 30.0) -> Connection:
    return Connection(addresses, timeout_s=timeout_s, make_network=lambda: engines, clock=engines.clock)


def test_a_state_is_requested_once_however_long_the_engine_takes() -> None:
    engines = Engines(work_s=20.0)
    assert connected(engines, A).ask(wire.STATE) == {"block": 7}
    assert engines.states == [A]
    assert engines.now_s == pytest.approx(120.0, abs=1)


def test_a_lost_state_is_requested_again_as_soon_as_the_loss_is_known() -> None:
    engines = Engines(work_s=2.0)
    engines.lost = [wire.STATE, wire.STATE]
    assert connected(engines, A).ask(wire.STATE) == {"block": 7}
    assert engines.states == [A]
    assert engines.now_s == pytest.approx(104.0, abs=1), "two seconds of work, and one for each that was lost"


def test_a_state_is_requested_again_if_both_request_and_probe_are_lost() -> None:
    engines = Engines()
    engines.lost = [wire.STATE, *[wire.STATUS] * 5]
    assert connected(engines, A).ask(wire.STATE) == {"block": 7}


def test_a_state_that_never_arrives_ends_with_the_timeout() -> None:
    engines = Engines(work_s=60.0)
    connection = connected(engines, A)
    connection.ask(wire.STATUS)
    with pytest.raises(NoAnswer, match="did not answer within 30 s"):
        connection.ask(wire.STATE)
    assert engines.states == [A]


def test_a_cheap_question_is_repeated_every_half_second() -> None:
    engines = Engines()
    engines.lost = [wire.DEPTH] * 3
    assert connected(engines, A).ask(wire.DEPTH) == {"block": 7}
    assert engines.now_s == pytest.approx(101.5, abs=0.2)


def test_a_replica_that_works_on_a_state_is_not_abandoned() -> None:
    engines = Engines(work_s=4.0)
    connection = connected(engines, A, B)
    connection.ask(wire.STATUS)
    assert connection.ask(wire.STATE) == {"block": 7}
    assert len(engines.states) == 1


def test_another_replica_is_asked_for_the_state_if_one_stays_silent() -> None:
    engines = Engines()
    connection = connected(engines, A, B)
    connection.ask(wire.STATUS)
    engines.dead = {connection.address}
    assert connection.ask(wire.STATE) == {"block": 7}
    assert engines.states == [connection.address]
    assert engines.now_s < 108
