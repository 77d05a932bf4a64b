"""Every guarantee in docs/guarantees.md names an existing test that shows it."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "guarantees.md"
COLUMNS = ["failure", "kept", "may be lost", "stops", "what the operator sees and does", "test"]
LONGEST_CELL = 80  # characters


def rows() -> list[list[str]]:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    tables = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("| ")]
    return [row for row in tables if len(row) == len(COLUMNS) and row != COLUMNS]


def test_every_line_of_the_page_is_read_here() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    promises = [line for line in lines if "`tests/" in line and line.startswith("| ")]
    assert len(rows()) == len(promises) > 20


def test_every_promise_names_a_test_that_exists() -> None:
    for failure, *_, test in rows():
        named = re.fullmatch(r"`(tests/[\w/]+\.py)::(test_\w+)`", test)
        assert named, f"{failure}: {test} names no test"
        source = (ROOT / named[1]).read_text(encoding="utf-8")
        assert re.search(rf"^def {named[2]}\(", source, re.MULTILINE), f"{failure}: {test} does not exist"


def test_cells_are_phrases() -> None:
    """What needs a sentence stands below the table."""
    for *cells, _ in rows():
        for cell in cells:
            assert len(cell) <= LONGEST_CELL, cell
            assert ". " not in cell, cell


def test_no_promise_leaves_a_column_empty() -> None:
    for row in rows():
        assert all(row), row
