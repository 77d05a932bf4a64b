"""The kernel gives the same state compiled, compiled with bounds checks, and interpreted."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.reference.engine import ReferenceExchange
from tests.reference.streams import random_lines

ROOT = Path(__file__).parents[3]
SEED, COMMANDS = 31, 2500
MODES = {"compiled": {}, "bounds checked": {"NUMBA_BOUNDSCHECK": "1"}, "interpreted": {"NUMBA_DISABLE_JIT": "1"}}


# An interpreted integer overflow is a warning. Only hashes may overflow.
STRICT = [
    "-W",
    "error::RuntimeWarning",
    "-W",
    "ignore:overflow encountered:RuntimeWarning:matching.core.kernel.structures.tables",
]


def start(environment: dict[str, str]) -> subprocess.Popen[str]:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    return subprocess.Popen(
        [sys.executable, *STRICT, "-m", "tests.matching.stream_program", str(SEED), str(COMMANDS)],
        cwd=ROOT,
        env={**bare, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.processes
def test_every_way_of_running_the_kernel_gives_the_same_state() -> None:
    running = {name: start(environment) for name, environment in MODES.items()}
    found: dict[str, Any] = {}
    for name, process in running.items():
        printed, said = process.communicate(timeout=280)
        assert process.returncode == 0, f"{name}: {said}"
        found[name] = json.loads(printed)
    reference = ReferenceExchange()
    for number, line in enumerate(random_lines(SEED, COMMANDS, instruments=3), 1):
        reference.submit_line(line, number)
    assert found["compiled"]["trades"] == reference.trade_count > 200
    assert found["compiled"]["state_digest"] == reference.state_digest()
    assert found["bounds checked"] == found["compiled"]
    assert found["interpreted"] == found["compiled"]
