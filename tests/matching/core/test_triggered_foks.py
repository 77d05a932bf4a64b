"""Triggered orders are reckoned by sums of whole parts of the book: as by the reference, and with little work."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.matching.triggered_foks_program import FAULTS

ROOT = Path(__file__).parents[3]
MARKETS = 12


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs `triggered_foks_program`, interpreted: compiled, the limits of the kernel are constants."""
    return subprocess.run(
        [sys.executable, "-m", "tests.matching.triggered_foks_program", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.mark.processes
@pytest.mark.parametrize("singly", [0, 2])
def test_random_cascades_give_the_events_of_the_reference_and_know_only_what_is_true(singly: int, seed: int) -> None:
    ended = run(seed % 1000, MARKETS, singly, "")
    assert ended.returncode == 0, ended.stderr
    seen = json.loads(ended.stdout)
    wanted = ("leaves", "nodes", "traders", "fok_not_fillable", "self_trade", "oco", "trade")
    assert all(seen.get(name, 0) for name in wanted), seen


@pytest.mark.processes
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str) -> None:
    ended = run(7, 4 * MARKETS, 0, fault)
    assert ended.returncode != 0
    assert "AssertionError" in ended.stderr
