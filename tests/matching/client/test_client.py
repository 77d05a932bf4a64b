"""What a client returns for each command."""

import pytest

from exchange_site.operations.free_addresses import free_ports
from matching.client.client import Client
from matching.core.errors import EngineUnreachable
from matching.transport.sockets import AddressUnusable
from matching.workloads.btc_usd import BTC, BTC_USD, DEFINITIONS, USD
from tests.matching.small_exchange import (
    Running,
    deposit,
    order,
    trading,
)


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
