"""The kernel gives the events of the reference engine also where the work of a command ends at a limit."""

import json
from typing import Any

import pytest

from tests.matching.interpreted_programs import run_interpreted

COMMANDS = 1000
UNLIMITED = 1_000_000


def compared(*arguments: int) -> dict[str, Any]:
    """What `small_limits_program` counts; fails where the engines differ."""
    ended = run_interpreted("small_limits_program", *arguments)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    assert found["trades"] > 40, found
    return found


@pytest.mark.processes
@pytest.mark.parametrize(("seed", "met", "command_events"), [(1, 1, 4), (3, 2, 12), (7, 2, 2)])
def test_small_limits_give_the_events_of_the_reference(seed: int, met: int, command_events: int) -> None:
    found = compared(seed, COMMANDS, met, command_events, UNLIMITED)
    assert found["left_in_queue"] > 0, found
    assert found["at_work_limit"] > 0, found


@pytest.mark.processes
@pytest.mark.parametrize("singly", [0, 1, 3])
def test_reckoning_by_levels_gives_the_events_of_the_reference(singly: int, seed: int) -> None:
    compared(seed % 1000, 2 * COMMANDS, UNLIMITED, UNLIMITED, singly)
