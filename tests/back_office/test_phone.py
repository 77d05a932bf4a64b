"""Every page at the width of a phone, in a real Chromium: nothing scrolls sideways, and every target is large enough.

Targets are those of WCAG 2.2, criterion 2.5.8: at least 24 by 24 CSS pixels, except links within a sentence.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from django.conf import settings as site
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.live_server_helper import LiveServer
from selenium.webdriver import Chrome

from back_office.audit import records
from back_office.audit.codes import Action
from gateway.keys.commandline import secret_cipher
from gateway.keys.key import Permission
from gateway.keys.stored_keys import Wanted, make_key
from gateway.models import StoredApiKey
from settlement.models import Alarm, ReconciliationRun
from settlement.stores.sql.store import SqlStore
from tests.back_office.conftest import NOON_NS
from tests.back_office.market import Market
from tests.back_office.test_browser import until, visible_pages

pytestmark = [pytest.mark.services("browser"), pytest.mark.django_db(transaction=True), pytest.mark.timeout(900)]

HEIGHT = 740
TARGET = 24
NEWEST = "#live-trades tbody tr"
WITHOUT_LOGIN = ("login/", "invitation/Mg/expired/")
AT = datetime(2026, 1, 1, 12, tzinfo=UTC)

FAULTS = """
    const told = (element) => {
        const id = element.id ? `#${element.id}` : "";
        const text = (element.innerText || element.getAttribute("aria-label") || element.name || "").trim();
        const kind = [...element.classList].slice(0, 2).join(".");
        return `${element.tagName.toLowerCase()}${id}.${kind} "${text.slice(0, 30)}"`;
    };
    const isShown = (element) => element.checkVisibility({visibilityProperty: true}) && !element.closest(".sr-only");
    const root = document.documentElement;
    const faults = [];
    if (root.scrollWidth > root.clientWidth) faults.push(`the page is ${root.scrollWidth} wide`);
    for (const element of document.querySelectorAll("body *")) {
        if (!isShown(element) || element.matches("input, textarea, select, svg *")) continue;
        const scrolls = ["auto", "scroll"].includes(getComputedStyle(element).overflowX);
        if (scrolls && element.scrollWidth > element.clientWidth + 1) {
            faults.push(`${told(element)} scrolls ${element.scrollWidth} in ${element.clientWidth}`);
        }
        const box = element.getBoundingClientRect();
        if (box.width && box.right > root.clientWidth + 1 && box.left < root.clientWidth) {
            faults.push(`${told(element)} ends at ${Math.round(box.right)}`);
        }
    }
    const isInSentence = (element) => {
        if (getComputedStyle(element).display !== "inline") return false;
        const block = element.closest("p, li, dd, caption, .message");
        return Boolean(block) && block.innerText.trim().length > element.innerText.trim().length;
    };
    const targets = "a[href], button, input:not([type=hidden]), select, textarea, summary, [role=button]";
    for (const element of document.querySelectorAll(targets)) {
        const target = element.closest("label") && element.matches("[type=checkbox], [type=radio]")
            ? element.closest("label") : element;
        const box = target.getBoundingClientRect();
        const isOutside = box.right <= 0 || box.bottom <= 0;
        if (!isShown(element) || !box.width || isOutside || isInSentence(element)) continue;
        if (Math.min(box.width, box.height) < arguments[0] - 0.5) {
            faults.push(`${told(element)} is ${Math.round(box.width)} x ${Math.round(box.height)}`);
        }
    }
    return faults;
"""


@pytest.fixture
def market(transactional_db: None) -> Market:
    """Trades, and rows on every other page."""
    store = SqlStore()
    store.connect()
    opened = Market(store, NOON_NS)
    opened.open()
    opened.run(120)
    message = "Settlement has not run for 12 s: start it with manage.py run_settlement, then look at its log."
    Alarm.objects.create(kind="lag", severity="critical", message=message, raised_at=AT, last_seen_at=AT)
    Alarm.objects.create(kind="gap", severity="warning", message=message, raised_at=AT, last_seen_at=AT, cleared_at=AT)
    ReconciliationRun.objects.create(started_at=AT, block_number=7, difference_count=0, ok=True, report={})
    make_key(Wanted(1, frozenset(Permission), label="bot of a market maker"), secret_cipher())
    records.append(Action.LIST_EXPORT, target="list:trades", after={"account": "1", "day": "2026-01-01"})
    return opened


@pytest.fixture
def phone(browser: Chrome, live_server: LiveServer, market: Market) -> Iterator[Chrome]:
    """A browser that has logged in; its width is set by the test."""
    client = Client()
    client.force_login(User.objects.create_superuser("operator"), "django.contrib.auth.backends.ModelBackend")
    browser.get(f"{live_server.url}/health/live")
    name = site.SESSION_COOKIE_NAME
    browser.add_cookie({"name": name, "value": client.cookies[name].value})
    yield browser
    browser.execute_script("localStorage.removeItem('adminTheme')")
    browser.delete_all_cookies()
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.get_log("browser")  # type: ignore[no-untyped-call]  # an unknown page is a complaint
    browser.get("about:blank")


def pages(market: Market) -> list[str]:
    return [
        *visible_pages(market),
        "audit_log/",
        f"api_keys/{StoredApiKey.objects.get().pk}/",
        f"reconciliations/{ReconciliationRun.objects.get().pk}/",
        "requests/new/?kind=new_instrument",
        "trades/?account=1&day=2026-01-01",
        "trades/?id=1&account=2",
        "orders/?account=1",
        "nowhere/",
    ]


def show(phone: Chrome, address: str, width: int = 360) -> None:
    metrics = {"width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": True}
    phone.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    phone.get(address)
    until(phone, lambda shown: shown.execute_script("return document.readyState") == "complete")


@pytest.mark.slow
@pytest.mark.parametrize(("width", "theme"), [(360, "light"), (360, "dark"), (390, "light")])
def test_every_page_fits_a_phone(
    phone: Chrome, live_server: LiveServer, market: Market, width: int, theme: str
) -> None:
    phone.execute_script("localStorage.setItem('adminTheme', JSON.stringify(arguments[0]))", theme)
    found: dict[str, list[str]] = {}
    for page in pages(market):
        show(phone, f"{live_server.url}/admin/{page}", width)
        found[page] = phone.execute_script(FAULTS, TARGET)
    assert phone.execute_script("return document.documentElement.className.includes('dark')") is (theme == "dark")
    phone.delete_all_cookies()
    for page in WITHOUT_LOGIN:
        show(phone, f"{live_server.url}/admin/{page}", width)
        found[page] = phone.execute_script(FAULTS, TARGET)
    faults = [f"{page} {fault}" for page, several in found.items() for fault in several]
    assert not faults, "\n".join(faults)


CELLS = """
    const cells = [...document.querySelector(arguments[0]).cells];
    return cells.map((cell) => [getComputedStyle(cell, "::before").content, cell.innerText]);
"""
"""The name of the column that each cell of a row shows, as a CSS string, and its text."""


def test_cells_of_a_card_name_their_columns_also_in_rows_that_come_later(
    phone: Chrome, live_server: LiveServer, market: Market
) -> None:
    show(phone, f"{live_server.url}/admin/")
    before = phone.execute_script(CELLS, NEWEST)
    assert [name for name, _ in before[:3]] == ['"Trade"', '"Time (UTC)"', '"Instrument"']
    trade = market.trade("BTC-USD", 6_600_000, 5_000, maker=1, taker=2)
    market.settle()
    until(phone, lambda shown: shown.execute_script(CELLS, NEWEST)[0] == ['"Trade"', str(trade.trade_id)])
    assert [name for name, _ in phone.execute_script(CELLS, NEWEST)] == [name for name, _ in before]


def test_on_a_wide_screen_rows_are_rows(phone: Chrome, live_server: LiveServer) -> None:
    show(phone, f"{live_server.url}/admin/trades/", width=1280)
    assert {name for name, _ in phone.execute_script(CELLS, "#trades tbody tr")} == {"none"}
    assert phone.execute_script("return getComputedStyle(document.querySelector('#trades thead')).display") != "none"
