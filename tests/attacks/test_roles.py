"""A client with a key of its own tries what only others may do."""

import pytest

from matching.client.client import Client
from matching.core.errors import EngineRefused, EngineUnreachable
from matching.transport import wire
from matching.transport.key_register import KeyRole
from matching.transport.sockets import Kind
from tests.attacks.conftest import Site, stranger, until_refused
from tests.matching.small_exchange import deposit, until

pytestmark = pytest.mark.processes

QUIET_S = 1.0

STEALING = [
    deposit(2, "minted"),
    {"command": "withdraw", "account": 1, "asset": "USD", "amount": "1.00", "reference": "stolen"},
    {
        "command": "order",
        "account": 1,
        "symbol": "BTC-USD",
        "side": "buy",
        "order_type": "limit",
        "price": "1.00",
        "quantity": "1",
    },
    {"command": "cancel_all", "account": 1},
    {"command": "instrument_status", "symbol": "BTC-USD", "status": "halted"},
]


@pytest.mark.parametrize("command", STEALING, ids=[str(command["command"]) for command in STEALING])
def test_a_trader_can_neither_mint_nor_withdraw_nor_trade_for_others_nor_halt_the_market(
    shared_site: Site, command: dict[str, object]
) -> None:
    trader = shared_site.client(shared_site.new_key(KeyRole.TRADER, "mallory", 2))
    before = shared_site.block()
    with pytest.raises(EngineRefused, match=r"^The trader key mallory may not") as refused:
        trader.call([{"command": "cancel_all", "account": 2}, command])
    assert refused.value.code == wire.NOT_PERMITTED
    assert shared_site.block() == before, "not even the permitted command of the batch was applied"
    assert trader.call([{"command": "cancel_all", "account": 2}])[0].rejected is None


def test_a_trader_can_neither_read_balances_nor_promote_an_engine(shared_site: Site) -> None:
    trader = shared_site.client(shared_site.new_key(KeyRole.TRADER, "mallory", 2))
    for verb in (wire.STATE, wire.PROMOTE, wire.PROMOTE_FORCED):
        with pytest.raises(EngineRefused, match=r"^The trader key mallory may not send the message") as refused:
            trader.connection.ask(verb)
        assert refused.value.code == wire.NOT_PERMITTED


@pytest.mark.parametrize("kind", [Kind.SUB, Kind.DEALER])
def test_a_trader_can_read_neither_blocks_nor_snapshots(shared_site: Site, kind: Kind) -> None:
    network = shared_site.network(shared_site.new_key(KeyRole.TRADER, "mallory", 2))()
    socket = network.connect(
        kind, shared_site.engine.address("BLOCK" if kind is Kind.SUB else "RETRANSMIT"), wire.READER_LIMITS
    )
    try:
        if kind is Kind.DEALER:
            socket.send(wire.SNAPSHOT, *wire.encode_numbers(0, 0))
            socket.send(wire.BLOCKS, *wire.encode_numbers(1, 1))
        shared_site.assert_it_works(f"a block to read by {kind.name}")
        messages: list[bool] = []

        def is_refused() -> bool:
            messages.append(network.wait([socket], QUIET_S))
            return "its role may not use this socket" in socket.problem

        until(is_refused, "the trader is refused")
        assert not any(messages)
    finally:
        socket.close()
        network.close()


@pytest.mark.parametrize("role", [KeyRole.LOCAL, KeyRole.TREASURY])
def test_a_key_that_is_not_registered_gets_no_answer(shared_site: Site, role: KeyRole) -> None:
    with pytest.raises(EngineUnreachable, match=rf"refuses the key stranger \({role}\)"):
        shared_site.client(stranger(role), timeout_s=3)


def test_a_client_without_a_key_gets_no_answer(shared_site: Site) -> None:
    with pytest.raises(EngineUnreachable):
        Client(shared_site.commands, timeout_s=QUIET_S)


def test_a_revoked_key_is_refused_at_once_and_its_connection_too(shared_site: Site) -> None:
    key = shared_site.new_key(KeyRole.TREASURY, "former")
    client = shared_site.client(key)
    assert client.call([deposit(1, "before")])[0].rejected is None
    shared_site.revoke(key)
    _, refused = until_refused(client, lambda number: deposit(1, f"after {number}"))
    assert str(refused).startswith("The treasury key former is revoked")
    with pytest.raises(EngineUnreachable, match=r"refuses the key former \(treasury\)"):
        shared_site.client(key, timeout_s=3)
