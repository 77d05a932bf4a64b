"""The kernel gives the events of the reference engine also where the work of a command ends at a limit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
COMMANDS = 1000


@pytest.mark.processes
@pytest.mark.parametrize(("seed", "met", "command_events"), [(1, 1, 4), (3, 2, 12), (7, 2, 2)])
def test_small_limits_give_the_events_of_the_reference(seed: int, met: int, command_events: int) -> None:
    arguments = [str(argument) for argument in (seed, COMMANDS, met, command_events)]
    ended = subprocess.run(
        [sys.executable, "-m", "tests.matching.small_limits_program", *arguments],
        cwd=ROOT,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found["trades"] > 40, found
    assert found["left_in_queue"] > 0, found
    assert found["at_work_limit"] > 0, found
