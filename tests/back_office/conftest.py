"""Fixtures of the back office: a filled store, and a fake engine whose answers a test sets."""

import re
from collections.abc import Callable, Iterator, Mapping
from html import unescape
from typing import Any, Protocol

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client

from analytics import wiring as analytics_wiring
from back_office import readers, urls
from back_office.pages import shared_fragment
from back_office.pages.overview import Depth
from exchange_site.operations import views
from matching.core.errors import EngineUnreachable
from settlement.stores.base import Store
from settlement.stores.scylla.store import ScyllaStore
from settlement.stores.sql.store import SqlStore
from tests.back_office.market import Market

NOON_NS = 1_767_268_800_000_000_000  # 2026-01-01T12:00:00Z

STORES = ["sql", pytest.param("scylla", marks=pytest.mark.services("cassandra"))]
"""Stores to run the page tests on: pages must not differ."""

ON_SQL = pytest.mark.parametrize("store", ["sql"], indirect=True)
ON_SCYLLA = pytest.mark.parametrize("store", STORES[1:], indirect=True)


class Engine:
    """Fake of a running engine; `absent`: not reachable."""

    def __init__(self) -> None:
        self.absent = False
        self.fields: dict[str, Any] = {
            "role": "leader",
            "block": 12,
            "state_hash": "00c0ffee00c0ffee",
            "halted": False,
            "halted_reason": None,
            "ring": {"unconfirmed_blocks": 25, "max_blocks": 100, "unconfirmed_bytes": 1000, "max_bytes": 1_000_000},
        }
        self.books: Depth = {
            "BTC-USD": {"bids": [[6_512_300, 15_000], [6_512_200, 5_000]], "asks": [[6_512_450, 30_000]]},
            "ETH-USD": {"bids": [], "asks": []},
        }

    def status(self) -> Mapping[str, Any]:
        if self.absent:
            raise EngineUnreachable("No engine answers at tcp://127.0.0.1:5701.")
        return self.fields

    def depth(self) -> Depth:
        return self.books


@pytest.fixture(autouse=True)
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    stand_in = Engine()
    monkeypatch.setattr(readers.EngineClient, "status", lambda self: stand_in.status())
    monkeypatch.setattr(readers.EngineClient, "depth", lambda self: stand_in.depth())
    return stand_in


@pytest.fixture(autouse=True)
def empty_caches(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Caches do not outlive a test."""
    urls.reference.invalidate()
    cache.clear()
    analytics_wiring.chunk_cache.cache_clear()
    monkeypatch.setattr(shared_fragment, "KEPT_S", 0.0)
    yield
    urls.reference.invalidate()
    cache.clear()
    analytics_wiring.chunk_cache.cache_clear()


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, db: None, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty, connected store that the pages read from."""
    if request.param == "sql":
        made: Store = SqlStore()  # the pages' own store has the same settings, so it reads the same tables
    else:
        new_scylla: Callable[[], ScyllaStore] = request.getfixturevalue("new_scylla")
        made = new_scylla()
        for opened in (urls.store, views._store):
            monkeypatch.setattr(opened, "_wrapped", made)
    made.connect()
    return made


@pytest.fixture
def market(store: Store) -> Market:
    """A market with reference data and deposits, without trades."""
    opened = Market(store, NOON_NS)
    opened.open()
    return opened


@pytest.fixture
def operator(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("operator"))
    return client


class Answer(Protocol):
    """A response of the test client."""

    @property
    def content(self) -> bytes: ...


def html(response: Answer) -> str:
    return response.content.decode()


def words(response: Answer) -> str:
    """Visible text of a page: tags removed, every run of white space reduced to one space."""
    page = re.sub(r"<(script|style).*?</\1>", " ", html(response), flags=re.DOTALL)
    page = re.sub(r"</?(?:span|i|a|code)\b[^>]*>", "", page)  # inline tags can be inside words and numbers
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


def links(response: Answer, kind: str) -> list[int]:
    """Numbers linked in the first column of a table, from top to bottom."""
    return [
        int(number) for number in re.findall(rf'<td class="number"><a href="/admin/{kind}/(\d+)/">', html(response))
    ]


def next_page(response: Answer, name: str = "older") -> str | None:
    """Target of the link with that id; None if there is none."""
    found = re.search(rf'<a id="{name}"[^>]* href="([^"]+)"', html(response))
    return unescape(found[1]) if found else None


def refusal(response: Answer) -> str:
    found = re.search(r'<p class="office-refusal" role="alert">([^<]+)</p>', html(response))
    assert found, "the page shows no error"
    return unescape(found[1])
