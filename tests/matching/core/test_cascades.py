"""One command triggers orders that trigger further ones: the kernel gives the events of the reference engine."""

import time
from collections import Counter

import pytest

from tests.matching.both import reference_state
from tests.matching.cascades import market, sale
from tests.matching.exchanges import KernelExchange, lines
from tests.reference.engine import ReferenceExchange

LONG = pytest.param(
    100_000,
    marks=[
        pytest.mark.acceptance("a command that triggers 100,000 orders has the events and balances of the reference"),
        pytest.mark.timeout(3600),
    ],
)


@pytest.mark.parametrize("triggers", [1000, LONG])
def test_a_cascade_gives_the_events_of_the_reference(triggers: int) -> None:
    kernel, reference = KernelExchange(), ReferenceExchange()
    for number, command in enumerate(market(triggers, seed=1), 1):
        assert lines(kernel.submit(command)) == lines(reference.submit(command)), f"command {number}: {command}"
    began_s = time.perf_counter()
    found = kernel.submit(sale(triggers))
    took_s = time.perf_counter() - began_s
    assert lines(found) == lines(reference.submit(sale(triggers)))
    assert kernel.state() == reference_state(reference)
    reference.check_invariants()
    kinds = Counter(event["event"] for event in found)
    print(f"{len(found):,} events in {took_s:.2f} s, as JSON: {dict(kinds)}")  # noqa: T201
    assert kinds["order_triggered"] >= triggers
    assert kinds["trade"] > triggers
    reasons = {event["reason"] for event in found if event["event"] == "order_cancelled"}
    assert reasons >= {"no_liquidity", "fok_not_fillable", "ioc", "oco", "self_trade"}
