"""Every planted defect is found within 200 seeds, the one that the table of docs/simulator.md names first."""

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
    found_by = next((seed for seed in (FOUND_BY[name], *range(1, 201)) if is_found(name, seed)), None)
    assert found_by is not None
    assert not simulate(found_by).problems


def is_found(name: str, seed: int) -> bool:
    (summary,) = simulate_all([seed], processes=1, defect=name)
    return bool(summary.failed)
