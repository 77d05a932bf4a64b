"""Takes the pictures of the market page that the documents show, of an exchange that is running.

    make run                                    # in one terminal; a chart needs some minutes of trades
    .venv/bin/python -m scripts.pictures        # in another one

It needs Chromium and its driver, which `make services` installs.
"""

import argparse
import base64
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from selenium.common.exceptions import TimeoutException, WebDriverException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "images"
URL = "http://127.0.0.1:8080/market/BTC-USD"
PATIENCE_S = 30
MAX_BYTES = 300_000


@dataclass(frozen=True, slots=True)
class Picture:
    name: str
    width: int
    height: int
    theme: str
    is_phone: bool = False


PICTURES = (
    Picture("market.png", 1360, 820, "light"),
    Picture("market-dark.png", 1360, 820, "dark"),
    Picture("market-phone.png", 390, 844, "dark", is_phone=True),
)


class NoPicture(Exception):
    """The page cannot be shown. The text is one sentence."""


@contextmanager
def chromium() -> Iterator[Chrome]:
    """Raises NoPicture."""
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        raise NoPicture("Chromium or its driver is missing: make services installs them.")
    options = ChromeOptions()
    options.binary_location = programs[0] or ""
    for argument in ("--headless=new", "--hide-scrollbars", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    if os.geteuid() == 0:  # Chromium's sandbox does not run as root
        options.add_argument("--no-sandbox")
    driver = Chrome(options=options, service=ChromeService(programs[1]))
    try:
        yield driver
    finally:
        driver.quit()


def take(browser: Chrome, url: str, picture: Picture) -> bytes:
    """The page as PNG, once it is live and has trades. Raises NoPicture."""
    size = {
        "width": picture.width,
        "height": picture.height,
        "deviceScaleFactor": 1,
        "mobile": picture.is_phone,
    }
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": picture.theme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    try:
        browser.get(url)
        WebDriverWait(browser, PATIENCE_S).until(
            lambda page: (
                page.find_element(By.ID, "state").text == "live" and page.find_elements(By.CSS_SELECTOR, "#tape tr")
            )
        )
    except TimeoutException as error:
        raise NoPicture(f"{url} is not live with trades after {PATIENCE_S} s: is the demo market running?") from error
    except WebDriverException as error:
        raise NoPicture(f"{url} cannot be shown: is the exchange running?") from error
    # The chart draws in animation frames: two of them after the data have arrived.
    browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")
    return base64.b64decode(browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})["data"])


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Take the pictures of the market page.")
    parser.add_argument("--url", default=URL, help="the page; default: %(default)s")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where to write them; default: docs/images")
    options = parser.parse_args(arguments)
    try:
        with chromium() as browser:
            for picture in PICTURES:
                taken = take(browser, options.url, picture)
                if len(taken) > MAX_BYTES:
                    raise NoPicture(f"{picture.name} has {len(taken)} bytes, more than {MAX_BYTES}.")
                (options.folder / picture.name).write_bytes(taken)
                sys.stdout.write(f"{picture.name}: {len(taken)} bytes\n")
    except (NoPicture, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
