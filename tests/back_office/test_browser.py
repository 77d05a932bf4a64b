"""The back office in a real Chromium, against a real server."""

from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.models import User
from pytest_django.live_server_helper import LiveServer
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.wait import WebDriverWait

from gateway.keys.commandline import secret_cipher
from gateway.keys.key import Permission
from gateway.keys.stored_keys import Wanted, make_key
from gateway.models import StoredApiKey
from settlement.stores.base import MAX_VOLUME, Candle
from settlement.stores.sql.store import SqlStore
from tests.accessibility import axe
from tests.back_office.conftest import NOON_NS, Engine
from tests.back_office.market import MINUTE_NS, Market
from tests.settlement.rows import projection

pytestmark = [pytest.mark.services("browser"), pytest.mark.django_db(transaction=True)]

PATIENCE_S = 20
FIRST_TRADE = "#live-trades tbody tr:first-child td:first-child a"


@pytest.fixture
def market(transactional_db: None) -> Market:
    store = SqlStore()
    store.connect()
    opened = Market(store, NOON_NS)
    opened.open()
    opened.run(120)
    return opened


@pytest.fixture
def office(browser: Chrome, live_server: LiveServer, market: Market) -> Iterator[Chrome]:
    """A browser that has logged in through the form and shows the overview."""
    User.objects.create_superuser("operator", password="let me in")
    browser.get(f"{live_server.url}/admin/")
    browser.find_element(By.NAME, "username").send_keys("operator")
    browser.find_element(By.NAME, "password").send_keys("let me in")
    browser.find_element(By.NAME, "password").submit()
    until(browser, lambda page: page.find_elements(By.ID, "live-tiles"))
    yield browser
    log = browser.get_log("browser")  # type: ignore[no-untyped-call]
    complaints = [entry["message"] for entry in log if entry["level"] == "SEVERE"]
    browser.delete_all_cookies()
    browser.get("about:blank")
    assert not complaints


def until(browser: Chrome, condition: Callable[[WebDriver], object]) -> None:
    """Asks again if an element was replaced between finding and reading it: the overview refreshes itself."""
    WebDriverWait(browser, PATIENCE_S, ignored_exceptions=[StaleElementReferenceException]).until(condition)


def heading(browser: Chrome) -> str:
    return browser.find_element(By.TAG_NAME, "h1").text


def click(browser: Chrome, selector: str) -> None:
    """Clicks a link and waits for the next page."""
    link = browser.find_element(By.CSS_SELECTOR, selector)
    target = link.get_attribute("href")
    link.click()
    until(browser, lambda page: page.current_url == target)


def test_from_the_overview_to_a_trade_its_order_and_the_account(office: Chrome, market: Market) -> None:
    newest = market.settled[-1]
    click(office, FIRST_TRADE)
    assert f"Trade {newest.trade_id}" in heading(office)
    click(office, "#orders tbody tr:first-child td:nth-child(2) a")
    assert f"Order {newest.maker_order_id}" in heading(office)
    click(office, ".office-facts a")
    maker = newest.seller if newest.taker_side == "buy" else newest.buyer
    assert heading(office).endswith(f"Account {maker}")
    assert "BTC" in office.find_element(By.ID, "balances").text
    click(office, '.office-tabs a[href*="trades"]')
    assert len(office.find_elements(By.CSS_SELECTOR, "#trades tbody tr")) == 50
    click(office, "#older")
    assert office.find_elements(By.ID, "newest")


def test_the_overview_refreshes_itself(office: Chrome, market: Market, engine: Engine) -> None:
    office.execute_script("window.untouched = true")
    candles = "return Chart.getChart('price-chart').data.labels.filter(Boolean).length"
    minutes = office.execute_script(candles)
    engine.fields["block"] = 4_321
    market.time_ns += 60_000_000_000
    trade = market.trade("BTC-USD", 6_600_000, 5_000, maker=1, taker=2)
    market.settle()
    until(office, lambda page: page.find_element(By.CSS_SELECTOR, FIRST_TRADE).text == str(trade.trade_id))
    until(office, lambda page: "4321" in page.find_element(By.ID, "tile-block").text)
    until(office, lambda page: page.execute_script(candles) == minutes + 1)
    assert "66000.00" in office.find_element(By.ID, "live-market").text
    assert office.execute_script("return window.untouched"), "the page was reloaded"


def test_the_chart_shows_a_capped_volume_as_at_least(office: Chrome, market: Market) -> None:
    start = market.time_ns // MINUTE_NS * MINUTE_NS + MINUTE_NS
    at_most = Candle("BTC-USD", start, 1, 1, 1, 1, MAX_VOLUME, 3, market.event + 1)
    market.store.insert_rows(projection(market.block, candles=[at_most]))
    label = (
        "const chart = Chart.getChart('price-chart');"
        "const last = chart.data.labels.length - 1;"
        "return chart.options.plugins.tooltip.callbacks.label({dataIndex: last})[2]"
    )
    until(office, lambda page: page.execute_script(label) == "volume at least 922337203685477.5807 in 3 trades")


def test_another_instrument_is_chosen(office: Chrome) -> None:
    office.find_element(By.CSS_SELECTOR, "#instrument option:last-child").click()
    until(office, lambda page: "symbol=ETH-USD" in page.current_url)
    assert "no trades yet" in office.find_element(By.ID, "live-market").text


def test_the_overview_shows_an_engine_disappear_and_return(office: Chrome, engine: Engine) -> None:
    assert "taking commands" in office.find_element(By.ID, "tile-engine").text
    engine.absent = True
    until(office, lambda page: "not reachable" in page.find_element(By.ID, "tile-engine").text)
    engine.absent = False
    until(office, lambda page: "taking commands" in page.find_element(By.ID, "tile-engine").text)


def test_an_expired_session_leads_to_the_login(office: Chrome) -> None:
    office.delete_all_cookies()
    until(office, lambda page: page.find_elements(By.NAME, "username"))
    assert "/admin/login/" in office.current_url


def test_the_search_field_leads_to_a_trade(office: Chrome, market: Market) -> None:
    trade = market.settled[-1]
    field = office.find_element(By.CSS_SELECTOR, ".office-jump input")
    field.send_keys(str(trade.trade_id))
    field.submit()
    until(office, lambda page: page.current_url.endswith(f"/admin/trades/{trade.trade_id}/"))
    assert f"Trade {trade.trade_id}" in heading(office)


def visible_pages(market: Market) -> list[str]:
    """One address of each kind of page."""
    trade = market.settled[-1]
    return [
        "",
        "trades/",
        f"trades/{trade.trade_id}/",
        "orders/",
        "orders/open/",
        f"orders/{trade.maker_order_id}/",
        "accounts/",
        "accounts/1/",
        "instruments/",
        "blocks/",
        f"blocks/{market.block}/",
        "find/?q=1",
        "analytics/?from=2026-01-01&to=2026-01-02",
        "analytics/?figure=heat_map&from=2026-01-01&to=2026-01-02",
        "analytics/accounts/?from=2026-01-01",
        "alarms/",
        "reconciliations/",
        "requests/",
        "requests/new/",
        "requests/new/?kind=deposit&account=1",
        "dead_letters/",
        "api_keys/",
        "api_keys/new/",
        "auth/user/",
        "auth/user/add/",
        "auth/group/",
        "auth/group/add/",
        "password_change/",
    ]


def test_every_page_obeys_the_content_security_policy(office: Chrome, live_server: LiveServer, market: Market) -> None:
    """The fixture fails on anything that the console says; this finds the page that says it."""
    log = office.get_log("browser")  # type: ignore[no-untyped-call]
    complaints = {"login": [entry["message"] for entry in log]}
    for page in visible_pages(market):
        office.get(f"{live_server.url}/admin/{page}")
        until(office, lambda shown: shown.execute_script("return document.readyState") == "complete")
        complaints[page] = [entry["message"] for entry in office.get_log("browser")]  # type: ignore[no-untyped-call]
    assert {page: said for page, said in complaints.items() if said} == {}


def test_the_browser_refuses_an_inline_script(office: Chrome) -> None:
    office.execute_script(
        "const script = document.createElement('script');"
        "script.textContent = 'window.injected = true';"
        "document.body.append(script)"
    )
    assert office.execute_script("return window.injected") is None
    refused = office.get_log("browser")  # type: ignore[no-untyped-call]
    assert ["script-src" in entry["message"] for entry in refused] == [True]


@pytest.mark.parametrize("shortcut", ["/", "Ctrl+K"])
def test_shortcuts_lead_to_the_search_field(office: Chrome, shortcut: str) -> None:
    focused = "return document.activeElement === document.querySelector('.office-jump input')"
    assert not office.execute_script(focused)
    keys = ActionChains(office)
    if shortcut == "/":
        keys.send_keys("/").perform()
    else:
        keys.key_down(Keys.CONTROL).send_keys("k").key_up(Keys.CONTROL).perform()
    assert office.execute_script(focused)
    ActionChains(office).send_keys("1/2").perform()
    assert office.find_element(By.CSS_SELECTOR, ".office-jump input").get_attribute("value") == "1/2"


CONTRAST = """
    const context = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
    const channels = (colour) => {
        context.clearRect(0, 0, 1, 1);
        context.fillStyle = colour;
        context.fillRect(0, 0, 1, 1);
        return [...context.getImageData(0, 0, 1, 1).data];
    };
    const luminance = (colour) => {
        const [red, green, blue] = channels(colour).slice(0, 3).map((value) => {
            const share = value / 255;
            return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const behind = (element) => {
        const colour = getComputedStyle(element).backgroundColor;
        return channels(colour)[3] === 255 ? colour : behind(element.parentElement);
    };
    const element = arguments[0];
    let opacity = 1;
    for (let part = element; part; part = part.parentElement) opacity *= getComputedStyle(part).opacity;
    const shades = [luminance(getComputedStyle(element).color), luminance(behind(element))].sort((a, b) => b - a);
    return opacity === 1 ? (shades[0] + 0.05) / (shades[1] + 0.05) : 0;
"""
"""Contrast of an element's text with what is behind it, by the formula of WCAG 2; 0 if it is translucent."""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_set_back_zeros_have_enough_contrast(office: Chrome, live_server: LiveServer, theme: str) -> None:
    office.execute_script("localStorage.setItem('adminTheme', JSON.stringify(arguments[0]))", theme)
    office.get(f"{live_server.url}/admin/accounts/1/")
    until(
        office,
        lambda page: (
            page.execute_script("return document.documentElement.className.includes('dark')") is (theme == "dark")
        ),
    )
    zeros = office.find_element(By.CSS_SELECTOR, "#balances .figure i")
    ratio = office.execute_script(CONTRAST, zeros)
    office.execute_script("localStorage.removeItem('adminTheme')")
    assert ratio >= 4.5


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_has_a_violation_of_wcag(office: Chrome, live_server: LiveServer, market: Market, theme: str) -> None:
    office.execute_script("localStorage.setItem('adminTheme', JSON.stringify(arguments[0]))", theme)
    make_key(Wanted(1, frozenset(Permission), label="bot"), secret_cipher())
    number = StoredApiKey.objects.get().pk
    found = {}
    for page in (*visible_pages(market), "audit_log/", f"api_keys/{number}/", "nowhere/"):
        office.get(f"{live_server.url}/admin/{page}")
        until(office, lambda shown: shown.execute_script("return document.readyState") == "complete")
        found[page] = axe.violations(office)
    office.get_log("browser")  # type: ignore[no-untyped-call]  # an unknown page is a complaint
    office.execute_script("localStorage.removeItem('adminTheme')")
    faults = [f"{page} {violation}" for page, violations in found.items() for violation in violations]
    assert not faults, "\n".join(faults)


def test_dark_mode_has_a_dark_background(office: Chrome) -> None:
    office.execute_script("localStorage.setItem('adminTheme', '\"dark\"')")
    office.refresh()
    until(office, lambda page: "dark" in (page.find_element(By.TAG_NAME, "html").get_attribute("class") or ""))
    table = office.find_element(By.CSS_SELECTOR, ".office-table")
    shade = office.execute_script("return getComputedStyle(arguments[0]).backgroundColor", table)
    office.execute_script("localStorage.removeItem('adminTheme')")
    assert shade != "rgb(255, 255, 255)"


def test_a_key_is_made_and_revoked(office: Chrome, live_server: LiveServer) -> None:
    office.get(f"{live_server.url}/admin/api_keys/")
    click(office, "#new-key")
    office.find_element(By.NAME, "account").send_keys("1")
    office.find_element(By.NAME, "label").send_keys("maker bot")
    office.find_element(By.CSS_SELECTOR, "[value='trade']").click()
    office.find_element(By.NAME, "reason").send_keys("ticket 12")
    office.find_element(By.CSS_SELECTOR, "#api-key-form button").click()
    until(office, lambda page: page.find_elements(By.ID, "made-secret"))
    name, secret = (office.find_element(By.ID, part).text for part in ("made-name", "made-secret"))
    assert (len(name), len(secret)) == (64, 64)
    click(office, "#to-key")
    assert name in office.find_element(By.ID, "api-key").text
    assert secret not in office.page_source
    office.find_element(By.CSS_SELECTOR, ".office-action [name='reason']").send_keys("no longer used")
    office.find_element(By.CSS_SELECTOR, ".office-action button").click()
    until(office, lambda page: "The key has been revoked." in page.find_element(By.CLASS_NAME, "office").text)
    assert StoredApiKey.objects.get(name=name).revoked_at
    office.get(f"{live_server.url}/admin/api_keys/")
    assert "maker bot" in office.find_element(By.ID, "api-keys").text
    assert "revoked" in office.find_element(By.ID, "api-keys").text
