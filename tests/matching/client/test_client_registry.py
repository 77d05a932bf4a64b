"""A client knows assets and instruments that it or another one added, and seldom asks for all of them."""

from collections import Counter
from typing import Any

import pytest

from matching.client.client import Client
from matching.core.codes import InstrumentStatus
from matching.core.errors import EngineRefused, NoAnswer
from matching.node.status import StatusBoard
from matching.transport import wire
from matching.workloads.btc_usd import BTC, BTC_USD, DEFINITIONS, USD
from tests.matching.small_exchange import (
    Running,
    deposit,
    order,
)


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
