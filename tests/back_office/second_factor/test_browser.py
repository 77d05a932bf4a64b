"""The second factor in a real Chromium: set-up, login by keyboard, backup codes, both themes, a phone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from django.contrib.auth.models import User
from django_otp.plugins.otp_totp.models import TOTPDevice
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.wait import WebDriverWait

from back_office.second_factor import devices
from back_office.second_factor.stored import AuthenticatorApp
from tests.accessibility import axe
from tests.back_office.second_factor.conftest import code_of, set_up, wrong_code
from tests.back_office.test_browser_actions import PHONE, WIDER

pytestmark = [pytest.mark.services("browser"), pytest.mark.django_db(transaction=True)]

PASSWORD = "let me in"
PATIENCE_S = 120
"""Also for axe-core on a slow machine."""
CODE_PAGE = "#second-factor-code"


@dataclass
class Office:
    browser: Chrome
    server: str
    bob: User

    def open(self, page: str, *, then: str) -> None:
        self.browser.get(f"{self.server}/admin/{page}")
        self.wait(then)

    def wait(self, selector: str) -> None:
        """Until the page that has this element is loaded with its style sheets."""
        patient = WebDriverWait(self.browser, PATIENCE_S, ignored_exceptions=[StaleElementReferenceException])
        patient.until(lambda page: page.find_elements(By.CSS_SELECTOR, selector))
        patient.until(lambda page: page.execute_script("return document.readyState") == "complete")

    def type_password(self, *, then: str) -> None:
        """By keyboard alone: the name has the focus, Enter sends the form."""
        self.open("login/?next=/admin/alarms/", then="[name=username]")
        self.browser.find_element(By.NAME, "username").send_keys("bob", Keys.TAB)
        ActionChains(self.browser).send_keys(PASSWORD, Keys.ENTER).perform()
        self.wait(then)

    def send_code(self, form: str, code: str, *, then: str) -> None:
        self.browser.find_element(By.CSS_SELECTOR, f"{form} [name=code]").send_keys(code, Keys.ENTER)
        self.wait(then)

    def device(self) -> AuthenticatorApp:
        found: AuthenticatorApp = AuthenticatorApp.objects.get(user=self.bob)
        return found


@pytest.fixture
def office(browser: Chrome, live_server: LiveServer) -> Iterator[Office]:
    yield Office(browser, live_server.url, User.objects.create_superuser("bob", password=PASSWORD))
    log = browser.get_log("browser")  # type: ignore[no-untyped-call]
    # A refused code is answered with 400, which Chromium reports like a missing file.
    complaints = [one["message"] for one in log if one["level"] == "SEVERE" and " status of 400 " not in one["message"]]
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.delete_all_cookies()
    browser.get("about:blank")
    assert not complaints


def test_set_up_then_log_in_by_code_and_by_backup_code(office: Office) -> None:
    office.type_password(then=".office-jump")
    office.open("second_factor/", then="#begin")
    office.browser.find_element(By.CSS_SELECTOR, "#begin button").click()
    office.wait(".office-qr svg")
    assert office.browser.find_element(By.ID, "secret").text == devices.secret_in_letters(office.device())
    office.send_code("#confirm", code_of(office.device()), then="#backup-codes")
    codes = [one.text for one in office.browser.find_elements(By.CSS_SELECTOR, "#backup-codes code")]
    office.browser.delete_all_cookies()
    office.type_password(then=CODE_PAGE)
    office.send_code(CODE_PAGE, wrong_code(office.device()), then=f"{CODE_PAGE}, [role=alert]")
    office.wait("[role=alert]")
    TOTPDevice.objects.update(throttling_failure_timestamp=None, throttling_failure_count=0)
    office.send_code(CODE_PAGE, code_of(office.device()), then=".office-jump")
    assert office.browser.current_url.endswith("/admin/alarms/")
    office.browser.delete_all_cookies()
    office.type_password(then=CODE_PAGE)
    office.send_code(CODE_PAGE, codes[3], then=".office-jump")
    office.open("second_factor/", then="#codes-left")
    assert office.browser.find_element(By.ID, "codes-left").text == "9"


def shown(office: Office) -> Iterator[str]:
    """Leads through every state of the pages, one after the other; yields its name."""
    office.type_password(then=".office-jump")
    office.open("second_factor/", then="#begin")
    yield "not set up"
    office.browser.find_element(By.CSS_SELECTOR, "#begin button").click()
    office.wait(".office-qr svg")
    yield "secret"
    office.send_code("#confirm", code_of(office.device()), then="#backup-codes")
    yield "backup codes"
    office.open("second_factor/", then="#new-codes")
    yield "set up"
    vera = User.objects.create_user("vera")
    set_up(vera)
    office.open(f"users/{vera.pk}/second_factor/", then="#reset")
    yield "another account"
    office.browser.delete_all_cookies()
    office.type_password(then=CODE_PAGE)
    yield "code"


def everywhere(office: Office, look: Callable[[WebDriver], list[str]]) -> dict[str, list[str]]:
    return {state: found for state in shown(office) if (found := look(office.browser))}


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_has_a_violation_of_wcag(office: Office, theme: str) -> None:
    office.open("login/", then="[name=username]")
    office.browser.set_script_timeout(PATIENCE_S)
    office.browser.execute_script("localStorage.setItem('adminTheme', JSON.stringify(arguments[0]))", theme)
    found = everywhere(office, lambda page: axe.violations(office.browser))
    office.browser.execute_script("localStorage.removeItem('adminTheme')")
    assert found == {}


def test_on_a_phone_nothing_scrolls_sideways(office: Office, settings: Settings) -> None:
    settings.PLAIN_SOCKETS = False  # its warning is wider than a phone
    width, height = PHONE
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": True}
    office.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    assert everywhere(office, lambda page: page.execute_script(WIDER)) == {}
