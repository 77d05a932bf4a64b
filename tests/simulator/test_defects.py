"""Every planted defect is found at the seed that the table of docs/simulator.md names."""

import re
from pathlib import Path

import pytest

from simulator.planted.defects import DEFECTS
from simulator.run import simulate
from simulator.seeds import simulate_all

PAGE = Path(__file__).parents[2] / "docs" / "simulator.md"
FOUND_BY = {name: int(seed) for name, seed in re.findall(r"^\| `([\w-]+)` \| (\d+) \|", PAGE.read_text("utf-8"), re.M)}


def test_the_table_has_every_defect_found_within_200_seeds() -> None:
    assert set(FOUND_BY) == set(DEFECTS)
    assert len(FOUND_BY) > 20
    assert max(FOUND_BY.values()) <= 200


@pytest.mark.parametrize("name", DEFECTS)
def test_a_planted_defect_is_found_by_a_seed_that_passes_without_it(name: str) -> None:
    seed = FOUND_BY[name]
    assert not simulate(seed).problems
    (summary,) = simulate_all([seed], processes=1, defect=name)
    assert summary.failed
