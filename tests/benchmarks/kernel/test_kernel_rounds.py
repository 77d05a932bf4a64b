"""The kernel is measured against a plain matching loop, which trades the same."""

import json
import sys
from pathlib import Path

import pytest
from django.conf import settings

from benchmarks.kernel import kernel_rounds
from matching.workloads.generated import generate


def test_a_short_run_trades_as_the_reference_loop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = [
        kernel_rounds.measure(generate("hot", 20_000), 3),
        kernel_rounds.measure(generate("deep", 20_000, resting=20_000), 3),
    ]
    kernel_rounds.keep(found, tmp_path)
    kept = json.loads(kernel_rounds.keep(found, tmp_path).read_text().splitlines()[1])
    for run, document in zip(found, kept["kernel"], strict=True):
        assert run.trades > 1000
        assert document["rounds"] == 3
        assert 0 < document["kernel_by_loop"]["lower"] <= document["kernel_by_loop"]["upper"]
    with capsys.disabled():
        sys.stdout.write("".join(f"\n{run.line()}" for run in found))


def test_the_loop_must_trade_as_the_kernel() -> None:
    workload = generate("hot", 1000)
    found = kernel_rounds.measure(workload, 2)
    found.trades += 1
    with pytest.raises(kernel_rounds.TotalsDiffer, match="the kernel made"):
        kernel_rounds.time_loop(workload, list(workload.stream.batches(512)), found)


@pytest.mark.acceptance("the kernel trades as a plain loop in twenty rounds in turn; bench-results/ keeps the times")
@pytest.mark.parametrize("shape", ["hot", "deep"])
def test_twenty_rounds_against_the_reference_loop(shape: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = kernel_rounds.measure(generate(shape, 1_000_000), 20)
    file = kernel_rounds.keep([found], settings.BASE_DIR / "bench-results")
    with capsys.disabled():
        sys.stdout.write(f"\n{found.line()}; kept in {file}\n")
