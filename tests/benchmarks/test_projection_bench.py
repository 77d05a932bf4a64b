"""The benchmark of the projection runs, and counts what it measures."""

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.projection_bench import STAGES

ROOT = Path(__file__).parents[2]


def bench_projection(*arguments: str) -> str:
    command = [sys.executable, "manage.py", "bench_projection", "--commands", "600", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


def test_a_tiny_run_measures_every_stage_and_both_writers() -> None:
    found = json.loads(bench_projection("--turns", "2", "--json"))
    assert found["cpu_us_an_event"].keys() == STAGES.keys()
    assert all(us > 0 for us in found["cpu_us_an_event"].values())
    assert (len(found["settled_seconds"]), len(found["bare_seconds"])) == (2, 2)
    assert found["rows"] > 2 * found["events"] > 4 * found["trades"] > 0
    assert found["ratio_to_bare"] > 0


def test_the_text_names_the_stages_and_the_ratio() -> None:
    text = bench_projection("--turns", "1", "--workload", "hot")
    assert all(stage in text for stage in STAGES)
    assert "the driver alone" in text
