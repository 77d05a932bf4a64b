"""A store that `make_large_store` fills is a good one; `bench_pages` and `bench_analytics` read all of it."""

import json

import pytest

from analytics import catalog
from benchmarks.pages import query_times
from benchmarks.pages.page_times import SLOW_MS, PageTime, text
from tests.benchmarks.pages.conftest import TIMEOUT_S, Manage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3 * TIMEOUT_S)]

TRADES = 3_000


@pytest.fixture(scope="module")
def filled(manage: Manage) -> Manage:
    made = manage("make_large_store", "--trades", str(TRADES), "--days", "3", "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["trades"] >= TRADES
    return manage


def test_the_store_is_what_its_blocks_give(filled: Manage) -> None:
    checked = filled("verify_settlement")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "No differences" in checked.stdout


def test_a_store_with_blocks_is_not_filled(filled: Manage) -> None:
    refused = filled("make_large_store", "--trades", "1")
    assert refused.returncode == 2
    assert "The store already has blocks" in refused.stderr


def test_every_page_is_opened_and_measured(filled: Manage) -> None:
    without = filled("bench_pages")
    assert without.returncode == 2
    assert "run prepare_run first" in without.stderr
    assert filled("prepare_run").returncode == 0

    done = filled("bench_pages", "--rounds", "1", "--json")

    found = json.loads(done.stdout)
    assert done.returncode == (1 if any(one["is_slow"] for one in found) else 0), done.stderr
    assert {one["status"] for one in found} <= {200, 302}
    assert all(0 < one["median_ms"] == one["worst_ms"] for one in found)
    assert max(one["queries"] for one in found) > 2
    assert {"trades", "account", "overview", "open_orders", "audit_log"} <= {one["page"] for one in found}


@pytest.mark.parametrize("is_archived", [False, True])
def test_every_query_is_asked_and_measured(filled: Manage, is_archived: bool) -> None:
    if is_archived:
        assert "Archived" in filled("archive_settlement").stdout

    done = filled("bench_analytics", "--rounds", "1", "--json")

    found = json.loads(done.stdout)
    assert done.returncode == (1 if any(one["is_slow"] for one in found) else 0), done.stderr
    assert [one["query"] for one in found] == list(catalog.named_queries())
    assert all(0 < one["median_s"] == one["worst_s"] for one in found)
    assert {one["query"] for one in found if not one["rows"]} <= {"self_trades_prevented"}


def test_the_text_names_slow_queries() -> None:
    limit = query_times.SLOW_S
    fast, slow = (query_times.QueryTime(name, 7, 3.0, s, s) for name, s in (("a", limit), ("b", limit + 0.5)))
    assert query_times.text([fast]).endswith("None has a median over 2 s.")
    assert query_times.text([fast, slow]).endswith("These have a median over 2 s: b (2.5 s)")
    assert "| `b` | 7 | 3.0 | 2.5 | 2.5 |" in query_times.text([slow])


def test_the_text_names_slow_pages() -> None:
    fast, slow = (PageTime(page, f"/{page}/", 200, ms, ms, 9.5, 3) for page, ms in (("a", SLOW_MS), ("b", SLOW_MS + 1)))
    assert text([fast]).endswith("None has a median over 150 ms.")
    assert text([fast, slow]).endswith("1 of 2 have a median over 150 ms: /b/ (151 ms)")
    assert "| `/b/` | 151.0 | 151.0 | 9.5 | 3 |" in text([slow])
