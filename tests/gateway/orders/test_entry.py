"""Order entry against real engines: batches, refusals, silence, halted engines, a change of the leader."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
import zmq

from exchange_site.operations.free_addresses import free_ports
from gateway.orders.entry import NotExecuted, OrderEntry, Outcome, OutcomeUnknown
from matching.client.client import Client
from matching.client.connection import Connection
from matching.client.edge import Edge, Encoded
from matching.core.codes import EventKind, Reason
from matching.transport.network import ZmqNetwork
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching import small_exchange
from tests.matching.client.test_client_failover import leader_and_follower, promoted
from tests.matching.histories import MemoryHistory
from tests.matching.small_exchange import defined_engine, deposit, order

EDGE = Edge(defined_engine().registry)
FUNDS = [deposit(1, "btc"), deposit(2, "usd", asset="USD", amount="1000000")]


def encoded(command: dict[str, Any]) -> list[Encoded]:
    found = EDGE.encode(command)
    assert isinstance(found, list)
    return found


def limit(account: int, side: str, price: str, quantity: str = "1", **fields: Any) -> list[Encoded]:
    return encoded(order(account, side, price, quantity, **fields))


def with_entry(
    address: str, work: Callable[[OrderEntry], Awaitable[None]], *, asked_s: float = 10.0, define: bool = True
) -> None:
    """Runs `work` in an event loop, with the instrument and funds in the engine."""
    if define:
        with Client(address) as client:
            client.call([*DEFINITIONS, *FUNDS])

    async def run() -> None:
        entry = OrderEntry(address, ZmqNetwork, asked_s=asked_s)
        entry.start()
        try:
            await work(entry)
        finally:
            entry.close()

    asyncio.run(run())


def kinds(outcome: Outcome) -> list[EventKind]:
    return [EventKind(event.kind) for event in outcome.events]


def test_orders_of_one_turn_are_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    send = Connection.send

    def counted(connection: Connection, commands: Any, texts: Any) -> int:
        batches.append(len(commands))
        return send(connection, commands, texts)

    async def work(entry: OrderEntry) -> None:
        monkeypatch.setattr(Connection, "send", counted)
        submitted = [asyncio.ensure_future(entry.submit(limit(1, "sell", str(100 + at)))) for at in range(100)]
        outcomes = [one for found in await asyncio.gather(*submitted) for one in found]
        assert batches == [100]
        sequences = [outcome.sequence for outcome in outcomes]
        assert sequences == list(range(sequences[0], sequences[0] + 100))
        assert {kinds(outcome)[0] for outcome in outcomes} == {EventKind.ORDER_ACCEPTED}
        assert {outcome.block_number for outcome in outcomes} != {0}

    with small_exchange.leader(small_exchange.plan()) as engine:
        with_entry(engine.commands, work)


def test_commands_of_one_submission_stand_together() -> None:
    async def work(entry: OrderEntry) -> None:
        (first,) = await entry.submit(limit(1, "sell", "100", client_order_id="a"))
        cancel = encoded({"command": "cancel", "account": 1, "symbol": "BTC-USD", "order_id": first.sequence})
        again = limit(1, "sell", "101", requires_previous=True)
        cancelled, placed = await entry.submit(cancel, again)
        assert (cancelled.refused, placed.refused) == (None, None)
        failed, refused = await entry.submit(cancel, again)
        assert (failed.refused, refused.refused) == (Reason.UNKNOWN_ORDER, Reason.PREVIOUS_REFUSED)

    with small_exchange.leader(small_exchange.plan()) as engine:
        with_entry(engine.commands, work)


def test_a_list_has_one_outcome() -> None:
    async def work(entry: OrderEntry) -> None:
        oco = {"command": "oco", "account": 1, "symbol": "BTC-USD", "side": "sell", "quantity": "1"}
        legs = encoded({**oco, "price": "110", "trigger_price": "90"})
        found, after = await entry.submit(legs, limit(1, "sell", "120"))
        assert kinds(found) == [EventKind.ORDER_ACCEPTED] * 2
        assert after.sequence == found.sequence + 2

    with small_exchange.leader(small_exchange.plan()) as engine:
        with_entry(engine.commands, work)


def test_thousands_of_orders_at_once_are_all_answered() -> None:
    async def work(entry: OrderEntry) -> None:
        lots = limit(1, "sell", "100", "0.0001")
        found = await asyncio.gather(*(entry.submit(lots) for _ in range(9000)))
        assert len({outcome.sequence for (outcome,) in found}) == 9000

    with small_exchange.leader(small_exchange.plan()) as engine:
        with_entry(engine.commands, work)


def test_an_engine_that_never_answers() -> None:
    async def work(entry: OrderEntry) -> None:
        first = asyncio.ensure_future(entry.submit(limit(1, "sell", "100")))
        deadline_s = time.monotonic() + 5
        while not entry.is_silent:
            assert time.monotonic() < deadline_s
            await asyncio.sleep(0.01)
        assert not first.done()
        with pytest.raises(NotExecuted):
            await entry.submit(limit(1, "sell", "100"))
        with pytest.raises(OutcomeUnknown):
            await first
        assert (entry.in_flight, entry.is_silent) == (0, False)

    context = zmq.Context()
    silent = context.socket(zmq.ROUTER)
    try:
        port = free_ports(1)[0]
        silent.bind(f"tcp://127.0.0.1:{port}")
        with_entry(f"tcp://127.0.0.1:{port}", work, asked_s=2.0, define=False)
    finally:
        silent.close(0)
        context.term()


def test_an_engine_that_comes_late_applies_nothing_that_was_given_up() -> None:
    plan = small_exchange.plan()
    address = plan.addresses.commands

    async def work(entry: OrderEntry) -> None:
        with pytest.raises(OutcomeUnknown):
            await entry.submit(encoded(FUNDS[0]))
        with small_exchange.leader(plan):
            await asyncio.to_thread(_define, address)
            (outcome,) = await entry.submit(encoded(deposit(1, "later")))
            assert outcome.sequence == len(DEFINITIONS) + 1, "the deposit that was given up was not applied"

    with_entry(address, work, asked_s=0.5, define=False)


def _define(address: str) -> None:
    with Client(address) as client:
        client.call(DEFINITIONS)


def test_a_halted_engine_has_executed_nothing() -> None:
    async def work(entry: OrderEntry) -> None:
        with pytest.raises(NotExecuted):
            await one_after_the_other(entry)

    async def one_after_the_other(entry: OrderEntry) -> None:
        for _ in range(10):
            await entry.submit(limit(1, "sell", "100"))

    with small_exchange.leader(small_exchange.plan(ring_blocks=8)) as engine:
        with_entry(engine.commands, work, asked_s=1.0)


def test_no_order_is_lost_or_doubled_when_the_leader_changes() -> None:
    answered: list[int] = []

    async def place(entry: OrderEntry, names: list[str], is_over: Callable[[], bool]) -> None:
        """Places orders one after the other; one that was not executed is sent again."""
        while not is_over() or not answered:
            name = f"n{len(names)}"
            names.append(name)
            while True:
                with suppress(NotExecuted):
                    (outcome,) = await entry.submit(limit(1, "sell", "100", "0.0001", client_order_id=name))
                    assert outcome.refused is None
                    answered.append(outcome.sequence)
                    break
                await asyncio.sleep(0.01)

    def learned(entry: OrderEntry, address: str) -> Callable[[], bool]:
        return lambda: address in entry.engine_addresses

    history = MemoryHistory()
    with leader_and_follower(history) as (leading, first, second):

        async def work(entry: OrderEntry) -> None:
            names: list[str] = []
            await place(entry, names, learned(entry, second.commands))
            before = len(answered)
            leading.close()
            promotion = asyncio.ensure_future(asyncio.to_thread(promoted, second.commands))
            await place(entry, names, lambda: promotion.done() and len(answered) > before + 10)
            assert len({*answered}) == len(answered) == len(names)
            with Client(second.commands) as client:
                state = client.state()
            assert len(state["open_orders"]) == len(names)

        with_entry(first.commands, work)
