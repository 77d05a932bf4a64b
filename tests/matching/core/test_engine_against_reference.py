"""The kernel gives the same events as the reference engine, command by command."""

import pytest

from tests.matching.both import reference_state
from tests.matching.exchanges import KernelExchange, lines
from tests.reference.engine import ReferenceExchange
from tests.reference.streams import random_commands


def judge(seed: int, count: int, **options: object) -> None:
    kernel, reference = KernelExchange(), ReferenceExchange()
    for number, command in enumerate(random_commands(seed, count, **options), 1):  # type: ignore[arg-type]
        expected = reference.submit(command)
        assert lines(kernel.submit(command)) == lines(expected), f"seed {seed}, command {number}: {command}"
        if number % 200 == 0:
            assert kernel.state() == reference_state(reference)
        if number % 1000 == 0:
            kernel.restart()
    reference.check_invariants()


@pytest.mark.parametrize("seed", range(12))
def test_random_streams_give_the_events_of_the_reference(seed: int) -> None:
    judge(seed, 4000)


@pytest.mark.parametrize("seed", range(100, 103))
def test_streams_over_many_instruments_and_accounts_give_the_events_of_the_reference(seed: int) -> None:
    judge(seed, 4000, instruments=5, accounts=40)
