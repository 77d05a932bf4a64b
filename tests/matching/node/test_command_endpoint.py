"""Requests for the whole state, which are expensive: one is made each turn, and none is made twice."""

import pytest

from matching.node.command_endpoint import CommandEndpoint
from matching.node.status import StatusBoard
from matching.storage.ring import Ring
from matching.transport import wire
from matching.transport.roles import LEADER
from tests.matching.small_exchange import batch, defined_engine, deposit
from tests.matching.stages import HERE, ScriptedSocket

FIRST, SECOND = b"11111111", b"22222222"


@pytest.fixture
def socket() -> ScriptedSocket:
    return ScriptedSocket()


@pytest.fixture
def endpoint(socket: ScriptedSocket) -> CommandEndpoint:
    engine = defined_engine()
    board = StatusBoard(engine, Ring(100, 1 << 20), HERE, LEADER, "none")
    return CommandEndpoint(socket, engine, board, board.counters)


def answered(socket: ScriptedSocket) -> list[tuple[bytes, bytes, bytes]]:
    """(client, verb, correlation) of each new answer."""
    sent, socket.sent = socket.sent, []
    return [(client, verb, correlation) for client, verb, _, correlation in sent]


def test_a_state_requested_repeatedly_in_one_turn_is_made_once(
    endpoint: CommandEndpoint, socket: ScriptedSocket
) -> None:
    socket.inbox = [[b"a", wire.STATE, FIRST]] * 4
    endpoint.receive()
    assert answered(socket) == [(b"a", wire.STATE, FIRST)]
    assert socket.inbox == []
    socket.inbox = [[b"a", wire.STATE, FIRST]]
    endpoint.receive()
    assert answered(socket) == [(b"a", wire.STATE, FIRST)], "the answer was lost"


def test_one_state_is_made_each_turn_and_all_requests_are_answered_in_order(
    endpoint: CommandEndpoint, socket: ScriptedSocket
) -> None:
    socket.inbox = [
        [b"a", wire.STATE, FIRST],
        [b"a", wire.STATUS, SECOND],
        [b"b", wire.STATE, FIRST],
        [b"b", wire.STATUS, SECOND],
        [b"a", wire.STATE, SECOND],
    ]
    turns = []
    for _ in range(4):
        endpoint.receive()
        turns.append(answered(socket))
    assert turns == [
        [(b"a", wire.STATE, FIRST), (b"a", wire.STATUS, SECOND)],
        [(b"b", wire.STATE, FIRST), (b"b", wire.STATUS, SECOND)],
        [(b"a", wire.STATE, SECOND)],
        [],
    ]


def test_commands_before_a_deferred_state_request_are_taken_in_this_turn(
    endpoint: CommandEndpoint, socket: ScriptedSocket
) -> None:
    made = batch(defined_engine(), 7, 1, [deposit(1, "a")])
    commands = [b"a", wire.COMMANDS, wire.encode_batch(7, 1, made.commands, made.texts)]
    socket.inbox = [[b"a", wire.STATE, FIRST], commands, [b"b", wire.STATE, FIRST], commands]
    assert [len(endpoint.receive()) for _ in range(3)] == [1, 1, 0]


def test_a_malformed_state_request_is_refused(endpoint: CommandEndpoint, socket: ScriptedSocket) -> None:
    socket.inbox = [[b"a", wire.STATE], [b"a"], [b"a", wire.STATE, FIRST, b""]]
    endpoint.receive()
    endpoint.receive()
    assert [frames[1] for frames in socket.sent] == [wire.REFUSED] * 3
