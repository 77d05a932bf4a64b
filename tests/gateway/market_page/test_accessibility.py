"""The market page by the rules of WCAG 2.2 AA, in both themes, on a desk and on a phone."""

import re
from collections.abc import Mapping

import pytest

from gateway.market_page.assets import FOLDER
from tests.accessibility import axe
from tests.gateway.market_page.market_view import MarketView
from tests.gateway.running_gateway import RunningGateway
from tests.gateway.trading import new_market

LEAST_CONTRAST = 4.5
TEXTS = ("text", "strong", "subtle", "link", "up", "down", "warn", "live")
BACKGROUNDS = ("surface", "raised", "page")
BARS = ("up-bar", "down-bar")
"""Translucent, on the surface; texts are in front of them. axe-core does not judge gradients."""


@pytest.mark.services("browser")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_the_page_has_no_violation(view: MarketView, gateway: RunningGateway, theme: str, width: int) -> None:
    market = new_market(gateway)
    view.prefer(theme)
    view.resize(width, 900)
    address = f"{gateway.url}/market/{market.engine_symbol}"
    view.open_live(address)
    assert axe.violations(view.browser) == [], "without trades and orders"
    market.place("seller", "SELL", "2", "101.5")
    market.place("buyer", "BUY", "0.5", "101.5")
    market.place("buyer", "BUY", "1", "99")
    view.until(lambda page: view.rows("tape") and view.rows("bids"))
    market.gateway.call({"command": "instrument_status", "symbol": market.engine_symbol, "status": "halted"})
    view.until(lambda page: view.part("halt").is_displayed())
    assert axe.violations(view.browser) == [], "with trades and orders, halted"
    view.open(f"{gateway.url}/market/XYZ")
    assert axe.violations(view.browser) == [], "unknown market"


def themes() -> dict[str, dict[str, str]]:
    style = (FOLDER / "colours.css").read_text(encoding="utf-8")
    light, dark = style.split(':root[data-theme="dark"]')
    return {
        name: dict(re.findall(r"--([\w-]+): (#[0-9a-f]+);", part)) for name, part in (("light", light), ("dark", dark))
    }


def channels(colour: str) -> list[float]:
    return [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]


def luminance(colour: list[float]) -> float:
    """Relative luminance as WCAG 2 defines it."""
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(text: list[float], background: list[float]) -> float:
    low, high = sorted((luminance(text), luminance(background)))
    return (high + 0.05) / (low + 0.05)


def on_surface(bar: str, colours: Mapping[str, str]) -> list[float]:
    opacity = int(colours[bar][7:9], 16) / 255
    return [
        opacity * top + (1 - opacity) * below
        for top, below in zip(channels(colours[bar]), channels(colours["surface"]), strict=True)
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_has_enough_contrast_with_every_background(theme: str) -> None:
    colours = themes()[theme]
    backgrounds = {name: channels(colours[name]) for name in BACKGROUNDS} | {
        name: on_surface(name, colours) for name in BARS
    }
    found = {
        (text, name): contrast(channels(colours[text]), background)
        for text in TEXTS
        for name, background in backgrounds.items()
    }
    assert {pair: ratio for pair, ratio in found.items() if ratio < LEAST_CONTRAST} == {}
