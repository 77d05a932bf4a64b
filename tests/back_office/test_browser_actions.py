"""Actions in a real Chromium, carried out by a worker on a real engine, whose blocks are projected for the pages."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from django.conf import settings as site
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer
from selenium.webdriver import Chrome
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver

from back_office import urls
from back_office.actions import carrying_out
from back_office.actions.engine import RealEngine
from back_office.models import ActionRequest, AuditRecord
from matching.client.client import Client as EngineClient
from matching.workloads.btc_usd import DEFINITIONS
from settlement.project.projection import EmptyTables, Projector
from settlement.receive.chain import stored
from settlement.stores.sql.store import SqlStore
from tests.back_office.actions.conftest import APPROVER, FINANCE, OPERATOR, person
from tests.back_office.test_browser import until
from tests.matching import small_exchange
from tests.matching.small_exchange import Running, deposit, order

pytestmark = [pytest.mark.services("browser"), pytest.mark.django_db(transaction=True)]

VIEWS = ("view_balance", "view_order", "view_settledtrade", "view_ledgerevent", "view_definition", "view_engineblock")
PHONE = (390, 844)
MOST_KEYS = 120


@dataclass
class Exchange:
    """A real engine with a worker, and pages that show its blocks."""

    running: Running
    client: EngineClient
    store: SqlStore
    projector: Projector = field(default_factory=lambda: Projector(EmptyTables(), kept=None))
    projected: int = 0

    def settle(self) -> None:
        """Projects the engine's new blocks."""
        newest = self.running.parts.ring.last
        blocks = [self.running.parts.ring.get_any(number) for number in range(self.projected + 1, newest + 1)]
        found = [block for block in blocks if block is not None]
        if found:
            self.store.append_blocks([stored(block) for block in found])
            self.store.insert_batch(self.projector.project(found))
            self.projected = newest
            urls.reference.invalidate()

    def work(self, stop: threading.Event) -> None:
        """The loop of `run_actions`, and settlement's projection."""
        engine = RealEngine(lambda: self.running.commands)
        while not stop.wait(0.1):
            carrying_out.turn(engine)
            self.settle()
        connections.close_all()


@pytest.fixture
def exchange(transactional_db: None) -> Iterator[Exchange]:
    """Account 1 has 10 BTC and sells one of them with order 5."""
    store = SqlStore()
    store.connect()
    with small_exchange.leader(small_exchange.plan()) as running, EngineClient(running.commands) as client:
        client.call([*DEFINITIONS, deposit(1, "first", amount="10"), order(1, "sell", "100.00")])
        made = Exchange(running, client, store)
        made.settle()
        stop = threading.Event()
        worker = threading.Thread(target=made.work, args=(stop,))
        worker.start()
        yield made
        stop.set()
        worker.join()


@dataclass
class Office:
    browser: Chrome
    server: str

    def sign_in(self, user: User) -> None:
        """As somebody who has logged in before."""
        client = Client()
        client.force_login(user)
        self.open("")
        self.browser.delete_all_cookies()
        cookie = client.cookies[site.SESSION_COOKIE_NAME]
        self.browser.add_cookie({"name": cookie.key, "value": cookie.value})

    def open(self, page: str) -> None:
        self.browser.get(f"{self.server}/admin/{page}")

    def click(self, selector: str, *, then: str) -> None:
        """Clicks and waits for what the next page shows."""
        self.browser.find_element(By.CSS_SELECTOR, selector).click()
        self.wait(then)

    def wait(self, selector: str) -> None:
        until(self.browser, lambda page: page.find_elements(By.CSS_SELECTOR, selector))

    def link(self, text: str, *, then: str) -> None:
        self.browser.find_element(By.LINK_TEXT, text).click()
        self.wait(then)

    def fill_in(self, **values: str) -> None:
        for name, value in values.items():
            self.browser.find_element(By.CSS_SELECTOR, f"#request-form [name={name}]").send_keys(value)

    def ask(self) -> str:
        """From the form through the preview to the request; returns what the preview said."""
        self.click("#request-form button", then="#preview")
        said = self.browser.find_element(By.ID, "preview").text
        self.click("#ask button", then="#request-state")
        return said

    def answer(self) -> str:
        """The engine's answer, which appears without a reload."""
        self.wait("#answer")
        return self.browser.find_element(By.ID, "answer").text

    def text(self) -> str:
        return self.browser.find_element(By.CSS_SELECTOR, ".office").text

    def tab_to(self, selector: str) -> None:
        """Presses Tab until this element has the focus."""
        wanted = self.browser.find_element(By.CSS_SELECTOR, selector)
        for _ in range(MOST_KEYS):
            ActionChains(self.browser).send_keys(Keys.TAB).perform()
            if self.browser.switch_to.active_element == wanted:
                return
        pytest.fail(f"Tab does not lead to {selector}")


@pytest.fixture
def office(browser: Chrome, live_server: LiveServer, exchange: Exchange) -> Iterator[Office]:
    yield Office(browser, live_server.url)
    log = browser.get_log("browser")  # type: ignore[no-untyped-call]
    complaints = [entry["message"] for entry in log if entry["level"] == "SEVERE"]
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.delete_all_cookies()
    browser.get("about:blank")
    assert not complaints


def refusal_of_an_order(exchange: Exchange) -> str | None:
    """The engine's own word."""
    (result,) = exchange.client.call([order(1, "sell", "101.00")])
    return result.rejected


def test_halt_and_resume_an_instrument(office: Office, exchange: Exchange) -> None:
    office.sign_in(person("oscar", *OPERATOR, *VIEWS))
    office.open("instruments/")
    office.link("Halt", then="#request-form")
    office.fill_in(reason="Wrong prices.")
    assert "BTC-USD: trading → halted." in office.ask()
    assert office.answer() == "BTC-USD is now halted."
    assert refusal_of_an_order(exchange) == "instrument_halted"
    office.open("instruments/")
    office.link("Resume", then="#request-form")
    office.fill_in(reason="Mended.")
    assert "BTC-USD: halted → trading." in office.ask()
    assert office.answer() == "BTC-USD is now trading."
    assert refusal_of_an_order(exchange) is None


def test_cancel_an_order_and_read_why_it_was_refused(office: Office, exchange: Exchange) -> None:
    office.sign_in(person("oscar", *OPERATOR, *VIEWS))
    exchange.client.call([{"command": "instrument_status", "symbol": "BTC-USD", "status": "halted"}])
    office.open("orders/5/")
    office.link("Cancel this order", then="#request-form")
    office.fill_in(reason="He called.")
    assert "Cancel order 5 of account 1 in BTC-USD: sell, 1.0000 left." in office.ask()
    assert office.answer() == "The instrument is halted, so its orders cannot be cancelled."
    assert "Refused by the engine" in office.text()
    exchange.client.call([{"command": "instrument_status", "symbol": "BTC-USD", "status": "trading"}])
    office.open("requests/new/?kind=cancel_order&order_id=5")
    office.fill_in(reason="He called.")
    office.ask()
    assert office.answer() == "Order 5 was cancelled; 1 were left of it."


def test_a_deposit_by_two_people_that_is_refused_to_one(office: Office, exchange: Exchange) -> None:
    fiona = person("fiona", *FINANCE, *VIEWS, "decide_request")  # even with the permission she needs another person
    anna = person("anna", *APPROVER, *VIEWS)
    office.sign_in(fiona)
    office.open("accounts/1/")
    office.link("Deposit", then="#request-form")
    office.fill_in(asset="BTC", amount="2.5", reference="wire-77", reason="Paid.")
    assert "Credit 2.5 BTC to account 1, reference wire-77." in office.ask()
    made = ActionRequest.objects.get()
    assert "Another person has to approve this." in office.text()
    assert not office.browser.find_elements(By.ID, "approve")
    token = office.browser.find_element(By.CSS_SELECTOR, "#withdraw [name=csrfmiddlewaretoken]").get_attribute("value")
    own = Client()
    own.force_login(fiona)
    assert own.post(f"/admin/requests/{made.pk}/approve/", {"csrfmiddlewaretoken": token}).status_code == 403
    office.sign_in(anna)
    office.open("")
    assert "waiting for approval" in office.browser.find_element(By.ID, "tile-requests").text
    office.click("#tile-requests a", then="#requests")
    office.link(str(made.pk), then="#approve")
    office.click("#approve button", then="#request-state")
    assert office.answer() == "2.5 BTC were credited to account 1."

    def is_shown(page: WebDriver) -> bool:
        office.open("accounts/1/")
        return "11.5" in page.find_element(By.ID, "balances").text

    until(office.browser, is_shown)
    told = [(one.action, one.actor) for one in AuditRecord.objects.filter(action__startswith="request.")]
    assert told[:2] == [("request.ask", "fiona"), ("request.approve", "anna")]


def test_a_double_click_asks_once(office: Office) -> None:
    office.sign_in(person("oscar", *OPERATOR, *VIEWS))
    office.open("requests/new/?kind=instrument_status&symbol=BTC-USD&status=cancel_only")
    office.fill_in(reason="Test.")
    office.click("#request-form button", then="#preview")
    button = office.browser.find_element(By.CSS_SELECTOR, "#ask button")
    ActionChains(office.browser).double_click(button).perform()
    office.wait("#answer")
    assert ActionRequest.objects.count() == 1


def test_halt_by_keyboard(office: Office, exchange: Exchange) -> None:
    office.sign_in(person("oscar", *OPERATOR, *VIEWS))
    office.open("instruments/")
    office.tab_to('a[aria-label="Halt BTC-USD"]')
    ActionChains(office.browser).send_keys(Keys.ENTER).perform()
    office.wait("#request-form")
    office.tab_to("#request-form [name=reason]")
    ActionChains(office.browser).send_keys("Wrong prices.", Keys.TAB, Keys.ENTER).perform()
    office.wait("#preview")
    office.tab_to("#ask button")
    ActionChains(office.browser).send_keys(Keys.ENTER).perform()
    assert office.answer() == "BTC-USD is now halted."
    assert refusal_of_an_order(exchange) == "instrument_halted"


WIDER = """
    const width = document.documentElement.clientWidth;
    const isOver = (one) => one.getBoundingClientRect().right > width + 1;
    const over = [...document.querySelectorAll("body *")].filter(isOver);
    return over.map((one) => one.tagName + "." + one.className);
"""
"""Elements that reach over the right edge."""


def test_on_a_phone_nothing_scrolls_sideways(office: Office, settings: Settings) -> None:
    settings.PLAIN_SOCKETS = False  # its warning is wider than a phone; nothing is sent here
    office.sign_in(person("fiona", *FINANCE, *VIEWS))
    width, height = PHONE
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": True}
    office.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    seen = {}
    office.open("requests/new/?kind=deposit&account=1")
    seen["form"] = office.browser.execute_script(WIDER)
    office.fill_in(asset="BTC", amount="2.5", reference="r" * 64, reason="Paid.")
    office.click("#request-form button", then="#preview")
    seen["preview"] = office.browser.execute_script(WIDER)
    office.click("#ask button", then="#request-state")
    seen["request"] = office.browser.execute_script(WIDER)
    office.open("requests/")
    office.wait("#requests")
    seen["list"] = office.browser.execute_script(WIDER)
    office.open("requests/new/")
    seen["kinds"] = office.browser.execute_script(WIDER)
    assert seen == {page: [] for page in seen}
