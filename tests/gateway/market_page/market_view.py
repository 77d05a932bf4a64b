"""A browser that shows the page of a market, for tests."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

PATIENCE_S = 60


@dataclass
class MarketView:
    """The page as a reader sees it. Figures are without the commas between thousands."""

    browser: Chrome

    def open(self, url: str) -> None:
        self.browser.get(url)

    def open_live(self, url: str) -> None:
        self.open(url)
        self.until_state("live")

    def part(self, identity: str) -> WebElement:
        return self.browser.find_element(By.ID, identity)

    def text(self, identity: str) -> str:
        return self.part(identity).text.replace(",", "")

    @property
    def state(self) -> str:
        return self.part("state").text

    def until_state(self, state: str, patience_s: float = PATIENCE_S) -> None:
        self.until(lambda page: self.state == state, patience_s)

    def until(self, condition: Callable[[WebDriver], object], patience_s: float = PATIENCE_S) -> None:
        """Asks again if an element was replaced between finding and reading it."""
        WebDriverWait(self.browser, patience_s, 0.1, [StaleElementReferenceException]).until(condition)

    def rows(self, identity: str) -> list[list[str]]:
        """The texts of a table's cells, without empty rows."""
        found: list[list[str]] = self.browser.execute_script(
            "return [...document.getElementById(arguments[0]).rows].map("
            "  (row) => [...row.cells].map((cell) => cell.innerText.trim().replaceAll(',', '')))",
            identity,
        )
        return [row for row in found if any(row)]

    def tape_prices(self) -> list[str]:
        """The newest first."""
        return [row[0].split()[-1] for row in self.rows("tape")]

    def has_empty_state(self, identity: str) -> bool:
        return self.part(identity).is_displayed()

    def run(self, script: str, *arguments: Any) -> Any:
        return self.browser.execute_script(script, *arguments)

    def run_module(self, name: str, body: str, *values: Any) -> Any:
        """The result of a function of `module` (a script of the page) and `values`, whose body is given."""
        script = f"""
            const [values, done] = arguments;
            const {{ src }} = document.querySelector('script[type="module"]');
            import(new URL("{name}", src))
                .then(async (module) => {{ {body} }})
                .then(done, (error) => done({{ error: String(error.stack) }}));
        """
        found = self.browser.execute_async_script(script, values)
        assert not (isinstance(found, dict) and "error" in found), found["error"]
        return found

    def complaints(self) -> list[str]:
        """What the console has said since it was asked last, without failures of the network."""
        log = self.browser.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in log if entry["source"] != "network"]

    def all_complaints(self) -> list[str]:
        return [entry["message"] for entry in self.browser.get_log("browser")]  # type: ignore[no-untyped-call]

    def resize(self, width: int, height: int) -> None:
        """As a phone of this size has it: a window of the browser cannot be this narrow."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": True}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def prefer(self, scheme: str) -> None:
        """Sets what the system says about dark and light."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


@contextmanager
def market_view(browser: Chrome) -> Iterator[MarketView]:
    """Without anything that an earlier test has chosen or the console has said."""
    view = MarketView(browser)
    browser.get("about:blank")
    view.all_complaints()
    yield view
    if browser.current_url.startswith("http"):
        view.run("localStorage.clear()")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    browser.get("about:blank")
