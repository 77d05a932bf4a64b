"""docs/glossary.md: one line a term, in order, found from the pages that use the terms."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINES = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").splitlines()
ROWS = [line.strip("|").split(" | ") for line in LINES if line.startswith("| ")][1:]


def test_a_term_is_one_row_of_two_cells_and_none_appears_twice() -> None:
    terms = [row[0].strip() for row in ROWS]
    assert len(terms) == len(set(terms)) > 80
    assert all(len(row) == 2 and row[1].strip() for row in ROWS)


def test_terms_are_in_alphabetical_order() -> None:
    terms = [row[0].strip().replace("`", "").lower() for row in ROWS]
    assert terms == sorted(terms)


@pytest.mark.parametrize("page", ["README.md", "docs/semantics.md", "docs/architecture.md"])
def test_a_page_links_the_glossary(page: str) -> None:
    assert "glossary.md)" in (ROOT / page).read_text(encoding="utf-8")
