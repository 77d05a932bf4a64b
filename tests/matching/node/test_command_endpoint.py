"""Questions, which must not delay commands: they have a share of the engine's time, above all the costly ones."""

from collections.abc import Callable

import numpy as np
import pytest

from matching.core import layout
from matching.core.blocks import Records
from matching.node.command_endpoint import CommandEndpoint
from matching.node.status import StatusBoard
from matching.storage.ring import Ring
from matching.transport import time_slice, wire
from matching.transport.engine_roles import LEADER
from tests.matching.small_exchange import batch, defined_engine, deposit
from tests.matching.stages import HERE, ScriptedSocket, one_block

FIRST, SECOND = b"11111111", b"22222222"


@pytest.fixture
def socket() -> ScriptedSocket:
    return ScriptedSocket()


class Clock:
    """Seconds that pass with every look at it."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.step_s = 0.0

    def __call__(self) -> float:
        self.now_s += self.step_s
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def board() -> StatusBoard:
    return StatusBoard(defined_engine(), Ring(100, 1 << 20), HERE, LEADER, "none")


@pytest.fixture
def endpoint(socket: ScriptedSocket, board: StatusBoard, clock: Clock) -> CommandEndpoint:
    return CommandEndpoint(socket, board.engine, board, board.counters, clock)


class SlowMaker:
    """Makes an answer when it is told to."""

    def __init__(self) -> None:
        self.begun: list[Callable[[], bytes]] = []
        self.made: bytes | None = None

    def begin(self, make: Callable[[], bytes]) -> None:
        self.begun.append(make)

    def outcome(self) -> bytes | None:
        made, self.made = self.made, None
        return made

    def close(self) -> None: ...


@pytest.fixture
def maker() -> SlowMaker:
    return SlowMaker()


def commands() -> list[bytes]:
    """A message with one deposit from client `a`."""
    made = batch(defined_engine(), 7, 1, [deposit(1, "a")])
    return [b"a", wire.COMMANDS, wire.encode_batch(7, 1, made.commands, made.texts)]


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


def test_too_many_states_are_counted_and_not_kept(
    endpoint: CommandEndpoint, socket: ScriptedSocket, board: StatusBoard
) -> None:
    clients = [b"%03d" % number for number in range(100)]
    socket.inbox = [[client, wire.STATE, FIRST] for client in clients]
    found = []
    for _ in range(200):
        endpoint.receive()
        found += [client for client, _, _ in answered(socket)]
    assert found == clients[:16]
    assert board.counters.lost_answers == 84


def test_commands_among_state_requests_are_taken_in_this_turn(
    endpoint: CommandEndpoint, socket: ScriptedSocket
) -> None:
    socket.inbox = [[b"a", wire.STATE, FIRST], commands(), [b"b", wire.STATE, FIRST], commands()]
    assert [len(endpoint.receive()) for _ in range(3)] == [2, 0, 0]


def test_questions_end_a_turn_when_their_time_is_used(
    endpoint: CommandEndpoint, socket: ScriptedSocket, clock: Clock
) -> None:
    clock.step_s = time_slice.TURN_S / 3
    socket.inbox = [[b"a", wire.STATUS, FIRST]] * 100
    endpoint.receive()
    assert len(answered(socket)) == 3


def test_a_batch_does_not_end_the_turn_of_questions(
    endpoint: CommandEndpoint, socket: ScriptedSocket, clock: Clock
) -> None:
    clock.step_s = 10.0
    socket.inbox = [commands()] * 20 + [[b"a", wire.STATUS, FIRST]] * 2 + [commands()]
    assert [len(endpoint.receive()) for _ in range(3)] == [20, 0, 1]


def test_a_malformed_state_request_is_refused(endpoint: CommandEndpoint, socket: ScriptedSocket) -> None:
    socket.inbox = [[b"a", wire.STATE], [b"a"], [b"a", wire.STATE, FIRST, b""]]
    endpoint.receive()
    endpoint.receive()
    assert [frames[1] for frames in socket.sent] == [wire.REFUSED] * 3


@pytest.fixture
def patient(socket: ScriptedSocket, board: StatusBoard, clock: Clock, maker: SlowMaker) -> CommandEndpoint:
    """An endpoint whose states take as long as `maker` wants."""
    return CommandEndpoint(socket, board.engine, board, board.counters, clock, maker)


def test_commands_and_questions_go_on_while_a_state_is_made(
    patient: CommandEndpoint, socket: ScriptedSocket, maker: SlowMaker
) -> None:
    socket.inbox = [[b"a", wire.STATE, FIRST]]
    patient.receive()
    assert len(maker.begun) == 1
    assert patient.idle_s < wire.HEARTBEAT_S, "the answer is sent soon after it is made"
    socket.inbox = [commands(), [b"b", wire.STATUS, FIRST], [b"c", wire.STATE, FIRST]]
    assert len(patient.receive()) == 1
    assert answered(socket) == [(b"b", wire.STATUS, FIRST)]
    assert len(maker.begun) == 1
    maker.made = b"{}"
    patient.receive()
    assert answered(socket) == [(b"a", wire.STATE, FIRST)]
    patient.receive()
    assert len(maker.begun) == 2


def test_states_take_a_tenth_of_the_time_but_are_never_more_than_five_seconds_apart(
    patient: CommandEndpoint, socket: ScriptedSocket, clock: Clock, maker: SlowMaker
) -> None:
    for took_s, pause_s in ((0.2, 1.8), (100.0, 5.0)):
        socket.inbox = [[b"a", wire.STATE, FIRST]]
        patient.receive()
        clock.now_s, maker.made = clock.now_s + took_s, b"{}"
        patient.receive()
        assert patient.idle_s == float("inf")
        socket.inbox = [[b"a", wire.STATE, SECOND]]
        patient.receive()
        assert patient.idle_s == pytest.approx(pause_s)
        clock.now_s += pause_s
        patient.receive()
        maker.made = b"{}"
        patient.receive()
    assert len(maker.begun) == 4


def test_one_answer_goes_to_all_who_wait(patient: CommandEndpoint, socket: ScriptedSocket, maker: SlowMaker) -> None:
    socket.inbox = [
        [b"a", wire.STATE, FIRST],
        [b"b", wire.STATE, FIRST],
        [b"b", wire.STATUS, SECOND],
        [b"a", wire.STATE, SECOND],
    ]
    patient.receive()
    maker.made = b"{}"
    patient.receive()
    expected = [(b"b", wire.STATUS, SECOND), (b"a", wire.STATE, SECOND), (b"b", wire.STATE, FIRST)]
    assert answered(socket) == expected, "a client's newer request replaces its older one"
    assert len(maker.begun) == 1
    assert patient.idle_s == float("inf")


def test_a_question_that_is_repeated_while_its_answer_is_made_is_answered_once(
    patient: CommandEndpoint, socket: ScriptedSocket, maker: SlowMaker
) -> None:
    socket.inbox = [[b"a", wire.STATE, FIRST]]
    patient.receive()
    socket.inbox = [[b"a", wire.STATE, FIRST]]
    patient.receive()
    maker.made = b"{}"
    patient.receive()
    patient.receive()
    assert answered(socket) == [(b"a", wire.STATE, FIRST)]
    assert len(maker.begun) == 1
    socket.inbox = [[b"a", wire.STATE, FIRST]]
    patient.receive()
    assert len(maker.begun) == 2, "the answer was lost"


def test_a_state_that_could_not_be_made_is_counted_and_the_next_one_is_begun(
    patient: CommandEndpoint, socket: ScriptedSocket, maker: SlowMaker, board: StatusBoard
) -> None:
    socket.inbox = [[b"a", wire.STATE, FIRST], [b"b", wire.STATE, FIRST]]
    patient.receive()
    maker.made = b""
    patient.receive()
    patient.receive()
    assert answered(socket) == []
    assert board.counters.lost_answers == 2
    socket.inbox = [[b"a", wire.STATE, FIRST]]
    patient.receive()
    assert len(maker.begun) == 2


@pytest.mark.parametrize("verb", [wire.REGISTRY, wire.DEPTH])
def test_an_answer_about_all_instruments_is_made_once_a_block(board: StatusBoard, verb: bytes) -> None:
    first = board.answer(verb)
    assert board.answer(verb) is first
    one_block(board.engine, [{"command": "asset", "symbol": "ETH", "decimals": 18}])
    second = wire.decode_json(board.answer(verb))
    assert second["block"] == wire.decode_json(first)["block"] + 1
    if verb == wire.REGISTRY:
        assert "ETH" in str(second)


@pytest.mark.parametrize(
    ("commands", "is_told"),
    [
        ([], True),
        ([deposit(1, "a")], True),
        ([{"command": "account_fees", "account": 1, "maker_fee": 1, "taker_fee": 2}], True),
        ([{"command": "instrument_status", "symbol": "BTC-USD", "status": "halted"}], False),
        ([{"command": "asset", "symbol": "ETH", "decimals": 8}], False),
        ([{"command": "asset", "symbol": "BTC", "decimals": 8}], True),  # it exists: refused
        ([{"command": "instrument_update", "symbol": "BTC-USD", "maker_fee": 5}, deposit(1, "a")], False),
        ([{"command": "instrument_update", "symbol": "BTC-USD", "min_quantity": "200000"}], True),  # over the maximum
    ],
)
def test_the_registry_is_told_during_a_full_disk_unless_a_block_that_is_not_logged_changed_it(
    board: StatusBoard, commands: list[dict[str, object]], is_told: bool
) -> None:
    board.ring.begin_after(board.engine.block_number)
    board.ring.hold(one_block(board.engine, commands) if commands else board.engine.apply(*nothing(), 1))
    board.log_full = "The disk is full."
    for _ in range(2):
        board.ring.hold(one_block(board.engine, [deposit(1, str(board.engine.block_number))]))
        answer = wire.decode_json(board.answer(wire.REGISTRY))
        assert ("registry" in answer) == is_told
        assert answer.get("unavailable") == (None if is_told else "The disk is full.")
    board.ring.release()
    assert "registry" in wire.decode_json(board.answer(wire.REGISTRY))


def nothing() -> tuple[Records, Records, bytes]:
    """A block without commands, as the migration to another layout makes it."""
    return np.zeros(0, layout.REQUEST), np.zeros(0, layout.COMMAND), b""
