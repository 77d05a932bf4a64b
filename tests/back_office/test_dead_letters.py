import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from structlog.testing import capture_logs

from back_office.paging import PAGE_ROWS
from settlement.project.dead_letters import FILE_NAME
from settlement.stores.base import DeadLetter, Store
from tests.back_office.conftest import NOON_NS, html, links, next_page, refusal, words
from tests.settlement.rows import projection

TABLES = ("trades", "orders", "ledger_events", "balances", "candles", "days", "definitions")


def put(store: Store, number: int, *, resolved: bool = False, **rows: Any) -> None:
    projection = {"checkpoint": [number, 0, 1], **{name: rows.get(name, []) for name in TABLES}}
    resolved_at = NOON_NS + 2_000_000_000 if resolved else None
    error = f"It refuses <{number}>."
    letter = DeadLetter(number, number, error, 3, NOON_NS, NOON_NS + 10**9, resolved_at, json.dumps(projection))
    store.put_dead_letter(letter)


@pytest.fixture
def projected(store: Store) -> None:
    store.insert_batch(projection(8))


def test_no_dead_letters_yet(operator: Client, store: Store) -> None:
    assert "There are no dead letters." in words(operator.get("/admin/dead_letters/"))


def test_dead_letters_are_listed_newest_first_with_their_state(operator: Client, store: Store) -> None:
    put(store, 3, resolved=True)
    put(store, 8)
    response = operator.get("/admin/dead_letters/")
    assert links(response, "dead_letters") == [8, 3]
    page = words(response)
    assert "8 unresolved It refuses <8>. 3 2026-01-01T12:00:00.000Z 2026-01-01T12:00:01.000Z" in page
    assert "3 resolved It refuses <3>." in page


def test_paging_lists_every_dead_letter_once(operator: Client, store: Store) -> None:
    for number in range(1, PAGE_ROWS + 6):
        put(store, number)
    first = operator.get("/admin/dead_letters/")
    second = operator.get(f"/admin/dead_letters/{next_page(first)}")
    assert links(first, "dead_letters") + links(second, "dead_letters") == list(range(PAGE_ROWS + 5, 0, -1))
    assert next_page(second) is None
    assert "There are no older dead letters." in words(operator.get("/admin/dead_letters/?before=1"))


@pytest.mark.parametrize("page", ["/admin/dead_letters/", "/admin/dead_letters/?before=9", "/admin/overview/live/"])
def test_a_page_reads_only_the_dead_letters_that_it_shows(operator: Client, store: Store, page: str) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert operator.get(page).status_code == 200
    (asked,) = (query["sql"] for query in queries if "FROM dead_letters" in query["sql"])
    assert re.search(rf"LIMIT (?:{PAGE_ROWS}|{PAGE_ROWS + 1})$", asked)


def test_a_bad_page_is_one_sentence(operator: Client, store: Store) -> None:
    response = operator.get("/admin/dead_letters/?before=noon")
    assert response.status_code == 400
    assert "must be a whole number" in refusal(response)


def test_one_dead_letter_with_its_error_and_row_counts(operator: Client, store: Store) -> None:
    put(store, 8, balances=[[1, "BTC", 5, 0, 80]], ledger_events=[[1], [2]])
    response = operator.get("/admin/dead_letters/8/")
    page = words(response)
    assert "Error It refuses <8>. Attempts 3" in page
    assert "First rejected (UTC) 2026-01-01T12:00:00.000Z Last rejected (UTC) 2026-01-01T12:00:01.000Z" in page
    assert "Ledger events 2 Balances 1 " in page
    assert '<a href="/admin/blocks/8/">8</a>' in html(response)
    assert "Replay</button>" in html(response)


def test_a_dead_letter_without_stored_rows_can_be_shown(operator: Client, store: Store) -> None:
    store.put_dead_letter(DeadLetter(8, 8, "It does not fit.", 1, NOON_NS, NOON_NS, NOON_NS))
    assert "The rejected rows were not stored." in words(operator.get("/admin/dead_letters/8/"))


@pytest.mark.usefixtures("projected")
def test_a_replay_writes_the_rows_and_logs_the_user(operator: Client, store: Store, data_dir: Path) -> None:
    put(store, 8, balances=[[1, "BTC", 5, 0, 80]])
    with capture_logs() as lines:
        response = operator.post("/admin/dead_letters/8/replay/", follow=True)
    page = words(response)
    assert "The rows of block 8 have been written." in page
    assert "resolved" in page
    assert "Replay</button>" not in html(response)
    assert [balance.available for balance in store.balances_of(1)] == [5]
    assert store.dead_letters() == []
    assert {
        "event": "site.dead_letter_replayed",
        "log_level": "info",
        "block": 8,
        "by": "operator",
        "error": None,
    } in lines
    assert json.loads((data_dir / FILE_NAME).read_text())["resolved_at_ns"]
    assert "have been written" in words(operator.post("/admin/dead_letters/8/replay/", follow=True))


@pytest.mark.usefixtures("projected")
def test_a_replay_that_is_rejected_again_shows_the_error(operator: Client, store: Store, data_dir: Path) -> None:
    put(store, 8, balances=[[1, "BTC", 2**63, 0, 80]])
    page = words(operator.post("/admin/dead_letters/8/replay/", follow=True))
    assert "The database rejected the rows again: " in page
    assert " rejects the statement: " in page
    assert "Attempts 4" in page


@pytest.mark.usefixtures("projected")
def test_a_replay_before_earlier_blocks_are_projected_is_refused(
    operator: Client, store: Store, data_dir: Path
) -> None:
    put(store, 9, balances=[[1, "BTC", 5, 0, 80]])
    page = words(operator.post("/admin/dead_letters/9/replay/", follow=True))
    assert "The rows of block 9 cannot be replayed yet, because the store is projected only to block 8" in page
    assert "Attempts 3" in page
    assert list(store.balances_of(1)) == []


def test_an_unknown_dead_letter_is_not_replayed(operator: Client, store: Store, data_dir: Path) -> None:
    response = operator.post("/admin/dead_letters/9/replay/")
    assert response.status_code == 404
    assert "There is no dead letter 9" in words(response)


@pytest.mark.usefixtures("projected")
def test_who_sees_dead_letters_replays_them_with_the_permission_for_it(store: Store, data_dir: Path) -> None:
    put(store, 8)
    clerk = User.objects.create_user("clerk", is_staff=True)
    clerk.user_permissions.add(Permission.objects.get(codename="view_deadletter"))
    client = Client()
    client.force_login(clerk)
    assert "Replay</button>" not in html(client.get("/admin/dead_letters/8/"))
    clerk.user_permissions.add(Permission.objects.get(codename="change_deadletter"))
    assert "Replay</button>" in html(client.get("/admin/dead_letters/8/"))
    client.post("/admin/dead_letters/8/replay/")
    assert store.dead_letters() == []
