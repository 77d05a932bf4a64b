"""Every named query gives what plain Python computes from the rows of the store."""

from datetime import date
from math import isclose
from typing import Any

import pytest
import sqlglot

from analytics import catalog, dialect, results
from analytics.errors import QueryRefused
from analytics.period import Period
from analytics.wiring import embedded
from settlement.stores.base import Store
from tests.analytics.random_market import FIGURES, facts

PERIODS = [Period(), Period(date(2026, 1, 31)), Period(None, date(2026, 1, 30)), Period(date(2026, 2, 1))]
ALWAYS = Period()


def ask(store: Store, text: str, period: Period = ALWAYS, **numbers: Any) -> list[tuple[Any, ...]]:
    tree = catalog.query(text, period, **numbers)
    with embedded(store).ask(tree, period) as answer:
        return [tuple(row.values()) for row in results.rows_of(answer.batches)]


def is_same(found: list[tuple[Any, ...]], expected: list[tuple[Any, ...]]) -> bool:
    """Whole numbers must be equal; ratios may differ in their last digit."""

    def are_same(one: Any, other: Any) -> bool:
        if isinstance(one, float) and other is not None:
            return isclose(one, other, rel_tol=1e-12, abs_tol=1e-9)
        return bool(one == other)

    return len(found) == len(expected) and all(
        len(one) == len(other) and all(map(are_same, one, other)) for one, other in zip(found, expected, strict=True)
    )


def test_every_query_equals_plain_python(market: Store) -> None:
    assert set(FIGURES) == set(catalog.named_queries())
    for period in PERIODS:
        for bucket, bucket_ns in catalog.BUCKETS_NS.items():
            known = facts(market, period, bucket_ns, account=3)
            for name, figure in FIGURES.items():
                found, expected = ask(market, name, period, bucket=bucket, account=3), figure(known)
                assert is_same(found, expected), (name, period, bucket, found, expected)


def test_the_random_market_has_what_the_queries_count(market: Store) -> None:
    known = facts(market, Period(), catalog.BUCKETS_NS["day"], account=3)
    assert all(figure(known) for figure in FIGURES.values())
    assert {order.status for order in known.changed} == {"open", "filled", "cancelled"}


@pytest.mark.parametrize("name", catalog.named_queries())
def test_a_query_is_parsed_as_starrocks_sql_and_written_back_unchanged(name: str) -> None:
    tree = catalog.query(name, Period(), account=1)
    text = dialect.for_starrocks(tree)
    assert sqlglot.parse_one(text, read="starrocks") == tree
    assert ":" not in text


@pytest.mark.parametrize("name", catalog.named_queries())
def test_sums_of_amounts_cannot_overflow_in_starrocks(name: str) -> None:
    """There the sum of a BIGINT is a BIGINT. Amounts are LARGEINT before they are added; 0 and 1 need not be."""
    text = catalog.named_queries()[name].text
    for amount in ("quantity", "price", "buyer_fee", "seller_fee"):
        assert f"sum(t.{amount}" not in text
        assert f"sum({amount}" not in text


@pytest.mark.parametrize("name", catalog.named_queries())
def test_a_query_begins_with_its_definition(name: str) -> None:
    query = catalog.named_queries()[name]
    assert query.text.startswith("-- ")
    assert query.summary.endswith(".")
    assert "bucket_ns" in query.definition or ":bucket_ns" not in query.text


def test_a_query_about_an_account_needs_one() -> None:
    with pytest.raises(QueryRefused, match="The query is about one account: give it with --account"):
        catalog.query("account_profit", Period())


def test_a_name_that_does_not_exist_is_refused_with_the_names() -> None:
    with pytest.raises(QueryRefused, match="There is no query volumes: the names are account_profit, active_accounts"):
        catalog.query("volumes", Period())
