"""One command's work is bounded, and memory for triggered orders is made while they act.

The limits are a million, so the tests lower them, which is possible where the kernel runs interpreted.
"""

from typing import Any

import numpy as np
import pytest
from numba import config

from matching.core import kernel, layout
from matching.core.codes import EventKind
from matching.core.engine import Engine
from matching.core.kernel import limits
from matching.core.kernel.structures import pools as p
from tests.matching.both import reference_state
from tests.matching.exchanges import KernelExchange, lines
from tests.matching.small_exchange import batch, defined_engine, deposit, order
from tests.reference.engine import ReferenceExchange
from tests.reference.limits import Limits
from tests.reference.streams import random_commands

interpreted = pytest.mark.skipif(not config.DISABLE_JIT, reason="compiled limits are constants")


@interpreted
@pytest.mark.parametrize(("makers", "events"), [(1, 3), (2, 4), (3, 8), (5, 2)])
def test_lower_limits_give_the_events_of_the_reference(
    makers: int, events: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_MET", makers)
    monkeypatch.setattr(limits, "MAX_COMMAND_EVENTS", events)
    kernel, reference = KernelExchange(), ReferenceExchange(Limits(makers, makers, events))
    for number, command in enumerate(random_commands(21, 1500, instruments=2), 1):
        assert lines(kernel.submit(command)) == lines(reference.submit(command)), f"command {number}: {command}"
        if number % 300 == 0:
            assert kernel.state() == reference_state(reference)
            kernel.restart()


def applied(engine: Engine, commands: list[dict[str, Any]]) -> Any:
    """The first block of the commands."""
    made = batch(engine, 1, 1, commands)
    requests = np.array([(1, 1, 0, 0, len(made.commands), 0)], layout.REQUEST)
    return engine.apply(requests, made.commands, made.texts, 1)


@interpreted
def test_a_block_ends_when_it_holds_many_events_but_not_within_an_order_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_BLOCK_EVENTS", 2)
    oco = {"command": "oco", "account": 1, "symbol": "BTC-USD", "side": "sell", "quantity": "1", "price": "200.00"}
    oco |= {"trigger_price": "50.00"}
    engine = defined_engine()
    block = applied(engine, [deposit(1, "a"), oco, deposit(1, "b"), deposit(1, "c")])
    assert block.command_count == 3, "the deposit and both records of the order list"
    assert block.requests["command_count"].tolist() == [3]
    assert engine.next_command_sequence == block.last_command_sequence + 1


def waiting_orders(count: int) -> list[dict[str, Any]]:
    """Funds, and orders with distant prices that the last command triggers all at once."""
    funds = [deposit(1, "a", "USD", "100000000"), deposit(2, "b", "BTC", "1000")]
    stop = {**order(1, "buy", "1.00", "0.01"), "order_type": "stop_loss_limit", "trigger_price": "100.00"}
    waiting = [{**stop, "price": f"{3 + 41 * number}.00"} for number in range(count)]
    return [*funds, *waiting, order(1, "buy", "100.00", "0.01"), order(2, "sell", "100.00", "0.01")]


def test_memory_for_triggered_orders_is_made_while_they_act(monkeypatch: pytest.MonkeyPatch) -> None:
    usual, tight = defined_engine(), defined_engine()
    commands = waiting_orders(300)
    expected = applied(usual, commands)
    calls: list[int] = []
    reserve = kernel.reserve

    def reserved(pools: Any, count: int) -> Any:
        """At first with room for few leaves, as if the others had been in use for long."""
        calls.append(count)
        made = reserve(pools, count)
        leaves = made.leaves[: int(made.state[p.LEAF_TOP]) + 8].copy()
        return made._replace(leaves=leaves) if len(calls) < 5 else made

    monkeypatch.setattr(kernel, "reserve", reserved)
    found = applied(tight, commands)
    assert found.data == expected.data
    assert len(calls) == 5, "the block begins, and pauses four times"
    assert (found.events["kind"] == EventKind.ORDER_TRIGGERED).sum() == 300
