"""Addresses of every page of the back office, with ids and filters that find rows in the store at hand."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.contrib.auth.models import User
from django.urls import reverse
from django.utils.http import urlencode

from back_office.models import ActionRequest
from gateway.models import StoredApiKey
from matching.core.decimals import INT64_MAX
from settlement.errors import CannotRun
from settlement.models import ReconciliationRun
from settlement.stores.base import Store, Trade

THEME_PAGES = ("auth_user_changelist", "auth_user_add", "auth_group_changelist", "password_change")
_SAMPLE = 1000

Query = Mapping[str, str | int]
Named = tuple[str, Sequence[int], Sequence[Query]]
"""A page's name, the numbers in its path, and queries to ask it with."""


@dataclass(frozen=True, slots=True)
class Address:
    page: str  # its name in `back_office.urls`, or in the theme's
    url: str


@dataclass(frozen=True, slots=True)
class Found:
    """What the store has: the newest trade, one in the middle, and accounts with very many and few of the trades."""

    newest: Trade
    middle: Trade
    busy: int
    quiet: int
    block: int
    client_order_id: str

    @classmethod
    def of(cls, store: Store) -> "Found":
        """Raises CannotRun if there are no trades."""
        trades = store.newest_trades(_SAMPLE)
        if not trades:
            raise CannotRun("The store has no trades: fill an empty one with make_large_store, or settle some.")
        newest = trades[0]
        middle = store.get_trades_by_sequence_range(newest.trade_id // 2, INT64_MAX, 1)[0]
        accounts = Counter(account for trade in trades for account in (trade.buyer, trade.seller)).most_common()
        order = next(iter(store.get_orders([newest.maker_order_id])), None)
        name = (order.client_order_id if order else None) or ""
        return cls(newest, middle, accounts[0][0], accounts[-1][0], store.newest_blocks(1)[0].number, name)

    @property
    def last_day(self) -> str:
        return _day(self.newest)

    @property
    def middle_day(self) -> str:
        return _day(self.middle)

    @property
    def terms(self) -> list[str]:
        """For the search: a trade, an order by its client order id, an instrument."""
        return [str(self.newest.trade_id), f"{self.busy}:{self.client_order_id}", self.newest.symbol]


def _day(trade: Trade) -> str:
    return datetime.fromtimestamp(trade.timestamp_ns // 10**9, UTC).date().isoformat()


def addresses(store: Store) -> list[Address]:
    """Every page with its filters; those about one row without any such row are left out. Raises CannotRun."""
    found = Found.of(store)
    named: list[Named] = [
        *_of_trades(found),
        *_of_orders(found),
        *_of_accounts(found),
        *_of_figures(found),
        *_of_site(),
        *_of_letters(store),
        ("overview", [], [{}]),
        ("live", [], [{"symbol": found.newest.symbol}]),
        ("instruments", [], [{}]),
        ("blocks", [], [{}, {"before": found.block // 2}]),
        ("block", [found.block], [{}]),
        ("jump", [], [{"q": term} for term in found.terms]),
    ]
    own = [Address(page, _url(f"office:{page}", key, query)) for page, key, queries in named for query in queries]
    return own + [Address(page, reverse(f"admin:{page}")) for page in THEME_PAGES]


def _url(name: str, key: Sequence[int], query: Query) -> str:
    return reverse(name, args=key) + (f"?{urlencode(query)}" if query else "")


def _of_trades(found: Found) -> Iterator[Named]:
    symbol, busy, quiet, middle = found.newest.symbol, found.busy, found.quiet, found.middle.trade_id
    filtered: list[Query] = [
        {"before": middle},
        {"after": middle},
        {"symbol": symbol},
        {"symbol": symbol, "before": middle},
        {"symbol": symbol, "after": middle},
        {"day": found.middle_day},
        {"day": found.middle_day, "symbol": symbol},
        {"first": middle, "last": middle + 10_000},
        {"account": busy},
        {"account": busy, "before": middle},
        {"account": busy, "symbol": symbol},
        {"account": busy, "day": found.middle_day},
        {"account": busy, "day": found.middle_day, "side": "sell"},
        {"account": quiet},
        {"account": quiet, "day": found.last_day},
    ]
    yield "trades", [], [{}, *filtered]
    yield "trades_csv", [], [{}, {"account": busy, "day": found.middle_day}]
    yield "trade", [found.newest.trade_id], [{}]
    yield "trade", [middle], [{}]


def _of_orders(found: Found) -> Iterator[Named]:
    symbol, busy, middle = found.newest.symbol, found.busy, found.middle.maker_order_id
    filtered: list[Query] = [
        {"before": middle},
        {"symbol": symbol},
        {"symbol": symbol, "before": middle},
        {"account": busy},
        {"account": busy, "before": middle},
        {"account": busy, "symbol": symbol},
        {"account": found.quiet},
        {"account": found.newest.seller, "client_order_id": found.client_order_id},
    ]
    yield "orders", [], [{}, *filtered]
    yield "orders_csv", [], [{}, {"account": busy}]
    yield "order", [found.newest.maker_order_id], [{}]
    yield "order", [middle], [{}]
    yield "open_orders", [], [{}, {"after": middle}]


def _of_accounts(found: Found) -> Iterator[Named]:
    asset, before = found.newest.symbol.partition("-")[0], f"{found.middle.trade_id}-0"
    yield "accounts", [], [{}, {"after": f"{found.quiet}:{asset}"}]
    yield "account", [found.busy], [{}, {"asset": asset}, {"before": before}, {"asset": asset, "before": before}]
    yield "account", [found.quiet], [{}]
    yield "account", [found.busy], [{"from": found.middle_day, "to": found.middle_day}]
    yield "statement_csv", [found.busy], [{}]


def _of_figures(found: Found) -> Iterator[Named]:
    day: Query = {"from": found.middle_day, "to": found.middle_day}
    yield "analytics", [], [{}, day, {**day, "figure": "heat_map"}]
    yield "analytics_accounts", [], [{}, day]
    yield "analytics_export", [], [{**day, "format": "csv"}]
    yield "analytics_accounts_export", [], [{**day, "format": "csv"}]


def _of_site() -> Iterator[Named]:
    """Pages about rows of the site's own database."""
    for page in ("alarms", "alarm_bar", "audit_log", "audit_log_csv", "reconciliations", "requests"):
        yield page, [], [{}]
    yield "request_form", [], [{}, {"kind": "deposit", "account": 1}]
    yield "api_keys", [], [{}]
    yield "new_api_key", [], [{}]
    yield "second_factor", [], [{}]
    if user := User.objects.first():
        yield "user_second_factor", [user.pk], [{}]
    if run := ReconciliationRun.objects.first():
        yield "reconciliation", [run.pk], [{}]
    if request := ActionRequest.objects.last():
        yield "request", [request.pk], [{}]
        yield "request_state", [request.pk], [{}]
    if key := StoredApiKey.objects.last():
        yield "api_key", [key.pk], [{}]


def _of_letters(store: Store) -> Iterator[Named]:
    yield "dead_letters", [], [{}]
    if letter := next(iter(store.dead_letters()), None):
        yield "dead_letter", [letter.block_number], [{}]
