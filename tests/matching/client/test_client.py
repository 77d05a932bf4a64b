import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import pytest
import zmq

from exchange_site.operations.free_addresses import free_ports
from matching.client.client import Client
from matching.client.connection import Connection
from matching.client.edge import BatchBuilder, Edge
from matching.core.codes import InstrumentStatus
from matching.core.errors import EngineRefused, EngineUnreachable, NoAnswer
from matching.node.status import StatusBoard
from matching.transport import wire
from matching.transport.sockets import AddressUnusable, RawSocket
from matching.workloads.btc_usd import BTC, BTC_USD, DEFINITIONS, USD
from tests.matching.histories import MemoryHistory
from tests.matching.small_exchange import (
    Running,
    deposit,
    follower_with,
    leader_with,
    order,
    plan,
    services,
    trading,
    until,
)


@pytest.fixture
def client(running_leader: Running) -> Iterator[Client]:
    with Client(running_leader.commands) as made:
        yield made


def test_each_command_gets_its_sequence_and_its_events(client: Client) -> None:
    results = client.call([*DEFINITIONS, *trading(2)])
    assert [result.command_sequence for result in results] == [1, 2, 3, 4, 5, 6, 7]
    assert [[event["event"] for event in result.events] for result in results] == [
        ["asset_added"],
        ["asset_added"],
        ["instrument_added"],
        ["deposited"],
        ["deposited"],
        ["order_accepted"],
        ["order_accepted", "trade"],
    ]
    assert results[-1].events[1]["price"] == "100"
    assert results[-1].rejected is None


def test_results_of_refused_commands_keep_their_position(client: Client) -> None:
    client.call(DEFINITIONS)
    results = client.call(
        [deposit(1, "a"), "nonsense", order(1, "sell", "1.001"), order(9, "sell", "1.00"), order(1, "sell", "1.00")]
    )
    assert [result.rejected for result in results] == [
        None,
        "malformed",
        "invalid_price",
        "insufficient_balance",
        None,
    ]
    assert [result.command_sequence for result in results] == [4, None, None, 5, 6]
    assert results[1].events == [
        {"event": "rejected", "sequence": None, "line": 2, "command": None, "reason": "malformed"}
    ]


def test_a_replace_that_names_its_order_by_order_id_tells_the_client_order_id(
    running_leader: Running, client: Client
) -> None:
    change = {"command": "replace", "account": 1, "symbol": "BTC-USD", "price": "110", "quantity": "0.1"}
    named, unnamed = order(1, "sell", "110", client_order_id="kept"), order(1, "sell", "111")
    client.call([*DEFINITIONS, deposit(1, "a", amount="2"), named, unnamed])
    by_id, renamed = {**change, "order_id": 5}, {**change, "order_id": 5, "new_client_order_id": "new"}
    results = client.call([by_id, renamed, by_id, {**change, "order_id": 6}])
    assert [result.events[0]["client_order_id"] for result in results] == ["kept", "new", "new", None]
    with Client(running_leader.commands) as other:
        results = other.call([by_id, {**change, "client_order_id": "new"}, by_id])
    known = [result.events[0].get("client_order_id", "not known") for result in results]
    assert known == ["not known", "new", "new"]


def test_a_client_remembers_the_names_of_its_newest_orders(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matching.client.client._NAMES_KEPT", 3)
    client.call([*DEFINITIONS, deposit(1, "a", amount="20")])
    change = {"command": "replace", "account": 1, "symbol": "BTC-USD", "price": "110", "quantity": "0.1"}
    for number in range(10):
        client.call([order(1, "sell", "110", client_order_id=f"n{number}")])
        (result,) = client.call([{**change, "client_order_id": "n0"}])
        assert result.rejected is None
        assert len(client._names) <= 6
    results = client.call([{**change, "order_id": first} for first in (5, 5 + 2, 5 + 2 * 9)])
    known = [result.events[0].get("client_order_id", "not known") for result in results]
    assert known == ["n0", "not known", "n9"]


def test_an_oco_is_one_command_with_the_events_of_both_legs(client: Client) -> None:
    client.call([*DEFINITIONS, deposit(1, "a", amount="2")])
    oco = {
        "command": "oco",
        "account": 1,
        "symbol": "BTC-USD",
        "side": "sell",
        "quantity": "0.5",
        "price": "110",
        "trigger_price": "90",
        "client_order_id": "l",
        "stop_client_order_id": "s",
        "list_client_order_id": "both",
    }
    large = {**oco, "quantity": "9", "client_order_id": None, "stop_client_order_id": None}
    placed, poor, malformed, after = client.call([oco, large, {**oco, "side": 1}, order(1, "sell", "100")])
    assert [event["client_order_id"] for event in placed.events] == ["l", "s"]
    assert [event["order_list_id"] for event in placed.events] == [placed.command_sequence] * 2
    assert placed.rejected is None
    assert [(event["command"], event["reason"]) for event in poor.events] == [
        ("oco", "insufficient_balance"),
        ("oco", "previous_refused"),
    ]
    assert (poor.command_sequence, poor.rejected) == (7, "insufficient_balance")
    assert (malformed.command_sequence, malformed.rejected) == (None, "malformed")
    assert after.command_sequence == 9


@pytest.mark.parametrize("batch_commands", [1, 2, 512])
def test_a_command_can_require_the_one_before_it_in_the_same_call(running_leader: Running, batch_commands: int) -> None:
    needs = {**order(1, "sell", "100.00"), "quantity": "0.01", "requires_previous": True}
    poor, wrong, free = order(9, "sell", "1.00"), order(1, "up", "1.00"), {**needs, "requires_previous": False}
    no_name = {**free, "symbol": "NO-NE"}
    with Client(running_leader.commands, batch_commands=batch_commands) as client:
        client.call([*DEFINITIONS, deposit(1, "a", amount="2")])
        results = client.call(
            [needs, needs, free, needs, needs, poor, needs, free, needs, wrong, needs, no_name, needs]
        )
        (alone,) = client.call([needs])
    refused, previous = "insufficient_balance", "previous_refused"
    assert [result.rejected for result in results] == [
        *(previous, previous, None, None, None, refused, previous, None, None),
        *("invalid_side", previous, "unknown_symbol", previous),
    ]
    assert alone.rejected == previous, "each call is a request of its own"


def test_many_commands_go_in_many_batches_and_come_back_in_order(running_leader: Running) -> None:
    with Client(running_leader.commands, batch_commands=7) as client:
        results = client.call([*DEFINITIONS, *trading(500)])
    assert [result.command_sequence for result in results] == list(range(1, 506))
    assert sum(event["event"] == "trade" for result in results for event in result.events) == 250


def test_names_that_another_client_added_are_looked_up(running_leader: Running, client: Client) -> None:
    with Client(running_leader.commands) as other:
        other.call(DEFINITIONS)
    results = client.call([order(1, "buy", "1.00"), deposit(1, "a", asset="ETH"), deposit(1, "a", asset="USD")])
    assert [result.rejected for result in results] == ["insufficient_balance", "unknown_asset", None]


def test_many_definitions_do_not_load_the_registry_again(running_leader: Running, asked: Counter[bytes]) -> None:
    with Client(running_leader.commands) as client:
        results = client.call(definitions(150))
        assert [result.rejected for result in results] == [None] * 301
        assert set(asked) <= {wire.STATUS}, "status is asked for now and then, however many commands there are"
        results = client.call([{**order(1, "buy", "1.00"), "symbol": f"T{number}-USD"} for number in range(150)])
        assert {result.rejected for result in results} == {"insufficient_balance"}
        assert asked[wire.REGISTRY] == 0


def test_a_rejected_deposit_does_not_load_the_registry_again(client: Client, asked: Counter[bytes]) -> None:
    client.call([*DEFINITIONS, deposit(1, "once", asset="USD")])
    before = asked[wire.REGISTRY]
    (result,) = client.call([deposit(1, "once", asset="USD")])
    assert result.rejected == "duplicate_reference"
    assert asked[wire.REGISTRY] == before


def test_names_that_the_engine_refuses_to_give_leave_the_commands_applied(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses() -> None:
        raise EngineRefused(wire.NOT_PERMITTED, "The key is revoked.")

    client.call(DEFINITIONS)
    with monkeypatch.context() as patch:
        patch.setattr(client._stream, "refresh", refuses)
        patch.setattr("matching.client.client._names_unknown", lambda events, registry: True)
        with pytest.raises(NoAnswer, match=r"were applied, but .* names in its answers: The key is revoked"):
            client.call([deposit(1, "a")])
    (result,) = client.retry()
    assert result.rejected is None


def test_definitions_of_two_clients_in_turn_are_known_to_both(running_leader: Running, asked: Counter[bytes]) -> None:
    with Client(running_leader.commands) as one, Client(running_leader.commands) as other:
        for number, command in enumerate(definitions(20)):
            (result,) = (one, other)[number % 2].call([command])
            assert result.rejected is None
        for client in (one, other):
            orders = [{**order(1, "buy", "1.00"), "symbol": f"T{number}-USD"} for number in range(20)]
            assert {result.rejected for result in client.call(orders)} == {"insufficient_balance"}
            assert client.call([definitions(20)[-1]])[0].rejected == "already_exists"
            assert len(client.registry.instruments) == 20


def test_names_that_nobody_knows_are_asked_for_without_the_registry(client: Client, asked: Counter[bytes]) -> None:
    client.call(definitions(3))
    results = client.call([{**order(1, "buy", "1.00"), "symbol": f"NONE{number}"} for number in range(100)])
    assert {result.rejected for result in results} == {"unknown_symbol"}
    assert asked[wire.REGISTRY] <= 1


def test_an_instrument_is_halted_by_its_own_answer(client: Client, asked: Counter[bytes]) -> None:
    client.call([*DEFINITIONS, {"command": "instrument_status", "symbol": "BTC-USD", "status": "halted"}])
    assert client._stream.edge.registry.statuses == [InstrumentStatus.HALTED]
    assert asked[wire.REGISTRY] == 0


def definitions(count: int) -> list[dict[str, Any]]:
    """USD, and so many assets each with an instrument."""
    made: list[dict[str, Any]] = [USD]
    for number in range(count):
        asset = f"T{number}"
        made += [{**BTC, "symbol": asset}, {**BTC_USD, "symbol": f"{asset}-USD", "base": asset}]
    return made


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[bytes]:
    """How often engines were asked each question."""
    counts: Counter[bytes] = Counter()
    answer = StatusBoard.answer

    def counted(board: StatusBoard, verb: bytes) -> bytes:
        counts[verb] += 1
        return answer(board, verb)

    monkeypatch.setattr(StatusBoard, "answer", counted)
    return counts


def test_events_of_instruments_that_another_client_added_can_be_read(running_leader: Running, client: Client) -> None:
    with Client(running_leader.commands) as other:
        other.call([*DEFINITIONS, deposit(1, "a"), order(1, "sell", "1.00")])
    (result,) = client.call([{"command": "cancel_all", "account": 1}])
    assert [event["event"] for event in result.events] == ["order_cancelled", "orders_cancelled"]
    assert result.events[0]["symbol"] == "BTC-USD"


def test_definitions_that_exist_are_rejected(client: Client) -> None:
    client.call([BTC, USD, BTC_USD])
    assert [result.rejected for result in client.call([BTC, BTC_USD])] == ["already_exists", "already_exists"]


def test_status_state_and_depth(client: Client) -> None:
    iceberg = {**order(2, "buy", "99.50"), "visible_quantity": "0.1"}
    stop = {**order(1, "sell", "90.00"), "order_type": "stop_loss_limit", "trigger_price": "91.00"}
    client.call([*DEFINITIONS, *trading(2), order(1, "sell", "101.00", "2"), iceberg, stop])
    status, state = client.status(), client.state()
    assert (status["role"], status["block"], status["halted"]) == ("leader", state["block"], False)
    assert status["state_hash"] == state["state_hash"]
    assert [1, "BTC", 99999600000000, 300000000] in state["balances"]
    assert state["open_orders"] == [
        [9, 2, "BTC-USD", "buy", 9950, 10000, 10000, 1000],
        [8, 1, "BTC-USD", "sell", 10100, 20000, 20000, None],
    ]
    assert state["pending_orders"] == [[10, 1, "BTC-USD", "sell", "stop_loss_limit", 9100, 9000, 10000]]
    assert client.depth() == {"BTC-USD": {"bids": [[9950, 1000]], "asks": [[10100, 20000]]}}


def test_a_repeated_request_is_answered_and_not_applied_again(running_leader: Running) -> None:
    commands = [deposit(1, "a"), deposit(1, "a"), deposit(2, "b")]
    with Client(running_leader.commands) as client:
        client.call(DEFINITIONS)
    with Client(running_leader.commands, client_id=77) as client:
        first = client.call(commands)
    with Client(running_leader.commands, client_id=77) as client:
        again = client.call(commands)
    assert again == first
    assert [result.rejected for result in first] == [None, "duplicate_reference", None]


def test_an_unreachable_engine_is_reported_within_the_timeout() -> None:
    (port,) = free_ports(1)
    with pytest.raises(EngineUnreachable, match=f"No engine answers at tcp://127.0.0.1:{port}"):
        Client(f"tcp://127.0.0.1:{port}", timeout_s=0.2)


@pytest.mark.parametrize("address", ["nonsense", "tcp://", "tcp://127.0.0.1:notaport", ""])
def test_an_invalid_address_is_refused(address: str) -> None:
    with pytest.raises(AddressUnusable, match="is not an address to connect to"):
        Client(address)


Script = Callable[[RawSocket, list[bytes], wire.Batch, int], None]


@contextmanager
def between(engine_address: str, script: Script) -> Iterator[str]:
    """A router before an engine that forwards everything but batches: each goes to `script`, with its count."""
    (port,) = free_ports(1)
    context: zmq.Context[RawSocket] = zmq.Context()
    stop = threading.Event()

    def run() -> None:
        with context.socket(zmq.ROUTER) as front, context.socket(zmq.DEALER) as back:
            front.bind(f"tcp://127.0.0.1:{port}")
            back.connect(engine_address)
            sender, seen = b"", 0
            while not stop.is_set():
                if front.poll(5):
                    sender, *frames = front.recv_multipart()
                    if frames[0] == wire.COMMANDS:
                        seen += 1
                        script(back, frames, wire.decode_batch(frames[1]), seen)
                    else:
                        back.send_multipart(frames)
                while back.poll(0):
                    front.send_multipart([sender, *back.recv_multipart()])

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"tcp://127.0.0.1:{port}"
    finally:
        stop.set()
        thread.join()
        context.destroy(linger=0)


def test_a_lost_batch_is_sent_again_with_the_same_number(running_leader: Running) -> None:
    with Client(running_leader.commands) as client:
        client.call(DEFINITIONS)
    numbers = []

    def lose_the_first(back: RawSocket, frames: list[bytes], batch: wire.Batch, count: int) -> None:
        numbers.append((batch.client, batch.first_number))
        if count > 1:
            back.send_multipart(frames)

    with between(running_leader.commands, lose_the_first) as address, Client(address) as client:
        (result,) = client.call([deposit(1, "a")])
    assert result.rejected is None
    assert len(numbers) == 2
    assert numbers[0] == numbers[1]


def test_batches_after_a_lost_one_keep_their_order(running_leader: Running) -> None:
    with Client(running_leader.commands) as client:
        client.call(DEFINITIONS)

    def lose_the_second(back: RawSocket, frames: list[bytes], batch: wire.Batch, count: int) -> None:
        if count != 2:
            back.send_multipart(frames)

    with (
        between(running_leader.commands, lose_the_second) as address,
        Client(address, batch_commands=1) as client,
    ):
        results = client.call([deposit(account, "a") for account in range(1, 7)])
    assert [result.command_sequence for result in results] == [4, 5, 6, 7, 8, 9]
    assert [result.events[0]["account"] for result in results] == [1, 2, 3, 4, 5, 6]


def test_no_answer_raises_and_a_retry_continues_where_it_stopped(running_leader: Running) -> None:
    with Client(running_leader.commands) as client:
        client.call([BTC])
    open_gate = threading.Event()

    def wait_for_the_gate(back: RawSocket, frames: list[bytes], batch: wire.Batch, count: int) -> None:
        if open_gate.is_set():
            back.send_multipart(frames)

    with (
        between(running_leader.commands, wait_for_the_gate) as address,
        Client(address, timeout_s=0.3, batch_commands=2) as client,
    ):
        with pytest.raises(NoAnswer, match=r"did not answer within 0\.3 s"):
            client.call([deposit(1, "a"), deposit(1, "b"), deposit(1, "c"), USD, deposit(1, "d", asset="USD")])
        open_gate.set()
        results = client.retry()
        assert [result.command_sequence for result in results] == [2, 3, 4, 5, 6]
        assert [result.rejected for result in results] == [None] * 5


def test_after_no_answer_another_call_abandons_the_batches_in_doubt(running_leader: Running) -> None:
    with Client(running_leader.commands) as client:
        client.call([BTC])
    references = []

    def lose_the_first_client(back: RawSocket, frames: list[bytes], batch: wire.Batch, count: int) -> None:
        references.append((batch.client, batch.texts))
        if batch.client != references[0][0]:
            back.send_multipart(frames)

    with (
        between(running_leader.commands, lose_the_first_client) as address,
        Client(address, timeout_s=0.2) as client,
    ):
        with pytest.raises(NoAnswer):
            client.call([deposit(1, "a")])
        (result,) = client.call([deposit(1, "b")])
    assert result.command_sequence == 2
    assert references[-1][1] == b"b"


def test_lost_history_is_reported_and_the_next_call_works(running_leader: Running) -> None:
    with Client(running_leader.commands, client_id=77, first_number=500) as client:
        with pytest.raises(EngineRefused, match="is not the next") as caught:
            client.call([BTC])
        assert caught.value.code == "out_of_order"
        assert client.call([BTC])[0].rejected is None


def test_batches_can_be_sent_as_records_with_a_window(running_leader: Running) -> None:
    with Client(running_leader.commands) as client:
        client.call(DEFINITIONS)
        builder = BatchBuilder(Edge(client.registry))
        connection = Connection(running_leader.commands, window=4)
        try:
            answered = []
            for number in range(30):
                for account in range(10):
                    assert builder.add(deposit(account, f"{number}")) is None
                while connection.full:
                    answered += connection.receive(1.0)
                connection.send(*builder.take())
                assert connection.in_flight <= 4
            while connection.in_flight:
                answered += connection.receive(0.1)
        finally:
            connection.close()
    assert [one.answer.first_number for one in answered] == list(range(1, 301, 10))
    assert sum(len(segment.events) for one in answered for segment in one.answer.segments) == 300


@contextmanager
def leader_and_follower(history: MemoryHistory) -> Iterator[tuple[ExitStack, Running, Running]]:
    """The leader ends with the stack. Settlement would keep blocks in `history`."""
    with ExitStack() as leading:
        first = leading.enter_context(leader_with(plan(), services(history, engine="first")))
        with follower_with(plan(), services(history, engine="second"), first.commands) as second:
            until(lambda: first.parts.board.followers, "the follower to announce itself")
            yield leading, first, second


def promoted(address: str) -> dict[str, Any]:
    """What the follower at `address` answers in the end, asked until its leader is silent for long enough."""
    with closing(Connection(address, failover=False, timeout_s=60)) as connection:
        answers: list[dict[str, Any]] = []

        def is_granted() -> bool:
            answers.append(connection.ask(wire.PROMOTE))
            return bool(answers[-1]["ok"])

        until(is_granted, "the promotion")
        return answers[-1]


def learn_of(follower: Running, client: Client) -> None:
    def is_known() -> bool:
        client.status()
        return follower.commands in client.connection.directory.addresses

    until(is_known, "the client to learn of the follower")


def test_a_client_switches_to_the_promoted_follower() -> None:
    with (
        leader_and_follower(MemoryHistory()) as (leading, first, second),
        Client(first.commands, timeout_s=60) as client,
    ):
        client.call([*DEFINITIONS, *trading(10)])
        until(lambda: second.parts.ring.last == first.parts.ring.last, "the follower to catch up")
        learn_of(second, client)
        leading.close()
        answers: list[dict[str, Any]] = []
        promoting = threading.Thread(target=lambda: answers.append(promoted(second.commands)))
        promoting.start()
        results = client.call([deposit(3, "after"), *trading(10)[2:]])
        promoting.join()
        assert [result.rejected for result in results] == [None] * 11
        assert [result.command_sequence for result in results] == list(range(16, 27))
        assert client.connection.address == second.commands
        assert answers == [{"ok": True, "epoch": 2, "block": results[0].block_number}]
        assert client.status()["epoch"] == 2


def test_a_request_applied_by_the_old_leader_is_answered_by_the_new_one_and_not_applied_again() -> None:
    with leader_and_follower(MemoryHistory()) as (leading, first, second):
        with Client(first.commands, client_id=77) as client:
            done = client.call([*DEFINITIONS, deposit(1, "a", amount="2")])
        until(lambda: second.parts.ring.last == first.parts.ring.last, "the follower to catch up")
        leading.close()
        promoted(second.commands)
        with Client([first.commands, second.commands], client_id=77) as client:
            assert client.call([*DEFINITIONS, deposit(1, "a", amount="2")]) == done
