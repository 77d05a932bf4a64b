"""The benchmark of durable commands measures both settlements, and leaves no files."""

from pathlib import Path

import pytest

from benchmarks import durable_bench


@pytest.mark.processes
def test_both_settlements_are_measured_in_each_turn(tmp_path: Path) -> None:
    said: list[str] = []
    found = durable_bench.measure(3000, turns=1, store="sql", seed=1, parent=tmp_path, say=said.append, is_plain=False)
    assert (len(found.projecting), len(found.appending_only), len(said)) == (1, 1, 1)
    assert found.ratio > 0
    assert found.projecting[0].blocks_during + found.projecting[0].blocks_afterwards > 0
    assert list(tmp_path.iterdir()) == []


def test_the_text_names_both_ratios() -> None:
    turns = [durable_bench.Turn(commands_per_second=100.0, blocks_during=2.0, blocks_afterwards=4.0)]
    text = durable_bench.text(durable_bench.Durable(10, turns, [200.0]))
    assert "ratio 0.5" in text[2]
    assert "0.5 of the blocks" in text[3]
