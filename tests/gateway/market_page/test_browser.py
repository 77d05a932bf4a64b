"""The market page in a real Chromium, fed by a real engine and gateway."""

from collections.abc import Iterator

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.gateway.clients.market_maker import market as busy_market
from tests.gateway.market_page.market_view import MarketView
from tests.gateway.running_gateway import RunningGateway
from tests.gateway.signed_client import SignedClient
from tests.gateway.trading import Market, new_market

pytestmark = pytest.mark.services("browser")


@pytest.fixture
def page(view: MarketView) -> Iterator[MarketView]:
    """The console must stay silent."""
    yield view
    assert not view.all_complaints()


@pytest.fixture
def market(gateway: RunningGateway) -> Market:
    return new_market(gateway)


def address(market: Market) -> str:
    return f"{market.gateway.url}/market/{market.engine_symbol}"


def cut(text: str, decimals: int) -> str:
    """A text of the API with so many decimals; the others must be zeros."""
    whole, _, fraction = text.partition(".")
    assert not fraction[decimals:].strip("0"), text
    return f"{whole}.{fraction[:decimals]}"


def levels(gateway: RunningGateway, symbol: str, limit: int) -> dict[str, list[list[str]]]:
    """Price and quantity of the best levels as the API has them, the best first."""
    body = SignedClient(gateway.url).get("depth", symbol=symbol, limit=limit).body
    return {
        side: [[cut(price, 2), cut(quantity, 4)] for price, quantity in body[side][:limit]] for side in ("bids", "asks")
    }


def shown_levels(page: MarketView) -> dict[str, list[list[str]]]:
    return {
        "bids": [row[:2] for row in page.rows("bids")],
        "asks": [row[:2] for row in reversed(page.rows("asks"))],
    }


def test_a_market_without_trades_and_orders_says_so(page: MarketView, market: Market) -> None:
    page.open_live(address(market))
    for name in ("no-trades", "no-depth", "empty-tape"):
        assert page.has_empty_state(name), name
    assert page.text("spread") == "no orders"
    assert page.text("last") == "–"


def test_a_trade_by_the_api_is_on_the_tape_the_chart_and_the_ladder(page: MarketView, market: Market) -> None:
    page.open_live(address(market))
    market.place("seller", "SELL", "2", "101.5")
    market.place("seller", "SELL", "1", "102.25")
    market.place("buyer", "BUY", "0.5", "101.5")
    market.place("buyer", "BUY", "0.25", "99")
    page.until(lambda shown: len(page.rows("bids")) == 1 and len(page.rows("tape")) == 1)
    assert page.rows("asks") == [["102.25", "1.0000", "2.5000"], ["101.50", "1.5000", "1.5000"]]
    assert page.rows("bids") == [["99.00", "0.2500", "0.2500"]]
    assert page.text("spread") == "spread 2.50 (2.525 %)"
    _, quantity, time = page.rows("tape")[0]
    assert page.tape_prices() == ["101.50"]
    assert (quantity, len(time)) == ("0.5000", len("12:34:56"))
    page.until(lambda shown: "close 101.50 volume 0.5000" in page.text("legend").replace("\n", " "))
    assert page.text("last") == "101.50"
    assert page.browser.title.startswith("101.50 ")
    assert not page.has_empty_state("no-trades")
    assert page.browser.find_elements(By.CSS_SELECTOR, "#depth polyline.bid, #depth polyline.ask")


def test_who_took_is_told_by_more_than_colour(page: MarketView, market: Market) -> None:
    market.place("seller", "SELL", "1", "100")
    market.place("buyer", "BUY", "1", "100")
    market.place("buyer", "BUY", "1", "100")
    market.place("seller", "SELL", "1", "100")
    page.open_live(address(market))
    page.until(lambda shown: len(page.rows("tape")) == 2)
    said = [one.get_attribute("textContent") for one in page.browser.find_elements(By.CSS_SELECTOR, "#tape .unseen")]
    assert said == ["sold at ", "bought at "]


def test_the_ladder_is_the_depth_of_the_api(page: MarketView, gateway: RunningGateway, seed: int) -> None:
    page.open(f"{gateway.url}/market/BTC-USD")
    with busy_market(gateway, seed):
        page.until_state("live")
        page.until(lambda shown: len(page.rows("tape")) > 20)
    limit = page.run("return document.getElementById('bids').rows.length")
    assert limit >= 5
    page.until(lambda shown: shown_levels(page) == levels(gateway, "BTCUSD", limit))
    assert page.state == "live"


def test_a_page_that_is_opened_later_shows_the_same(page: MarketView, gateway: RunningGateway, market: Market) -> None:
    for at in range(30):
        market.place("seller", "SELL", "1", str(200 + at))
        market.place("buyer", "BUY", "1", str(100 + at))
    market.place("buyer", "BUY", "0.5", "200")
    page.open_live(address(market))
    limit = page.run("return document.getElementById('bids').rows.length")
    page.until(lambda shown: shown_levels(page) == levels(gateway, market.symbol, limit))
    assert page.text("last") == "200.00"


def test_a_halt_is_announced_and_taken_back(page: MarketView, market: Market) -> None:
    page.open_live(address(market))
    assert not page.part("halt").is_displayed()
    status = {"command": "instrument_status", "symbol": market.engine_symbol}
    market.gateway.call({**status, "status": "halted"})
    page.until(lambda shown: "Halted" in page.text("halt"))
    market.gateway.call({**status, "status": "trading"})
    page.until(lambda shown: not page.part("halt").is_displayed())


def test_an_interval_is_chosen_and_kept(page: MarketView, market: Market) -> None:
    market.trade_at("100")
    page.open_live(address(market))
    button = page.browser.find_element(By.XPATH, "//button[text()='1h']")
    button.click()
    page.until(lambda shown: button.get_attribute("aria-pressed") == "true")
    page.browser.refresh()
    page.until_state("live")
    pressed = page.browser.find_elements(By.CSS_SELECTOR, "#intervals [aria-pressed='true']")
    assert [one.text for one in pressed] == ["1h"]
    market.trade_at("105")
    page.until(lambda shown: "high 105.00" in page.text("legend").replace("\n", " "))
    assert "open 100.00" in page.text("legend").replace("\n", " ")


def test_dark_and_light_follow_the_system_until_the_reader_chooses(page: MarketView, market: Market) -> None:
    page.prefer("dark")
    page.open_live(address(market))
    background = "return getComputedStyle(document.body).backgroundColor"
    dark = page.run(background)
    page.prefer("light")
    page.until(lambda shown: page.run(background) != dark)
    page.part("theme").click()
    assert page.run(background) == dark
    page.browser.refresh()
    page.until_state("live")
    assert page.run(background) == dark
    assert page.part("theme").get_attribute("aria-pressed") == "true"


@pytest.mark.parametrize("width", [360, 390, 820, 1100])
def test_nothing_scrolls_sideways(page: MarketView, gateway: RunningGateway, width: int) -> None:
    page.resize(width, 844)
    page.open_live(f"{gateway.url}/market/BTC-USD")
    wide = page.run(
        "return [...document.querySelectorAll('body *')].filter((one) => !one.closest('.unseen, .skip')"
        "  && one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.outerHTML.slice(0, 80))"
    )
    assert wide == []
    assert page.run("return document.documentElement.scrollWidth") == width
    assert page.part("chart").size["height"] > 150
    sideways = "return [...document.querySelectorAll('.tape-space, .ladder-space, .markets-space')]"
    assert page.run(f"{sideways}.every((one) => one.scrollWidth <= one.clientWidth)")


def test_all_controls_are_reached_by_the_keyboard(page: MarketView, gateway: RunningGateway) -> None:
    page.open_live(f"{gateway.url}/market/BTC-USD")
    reached = []
    for _ in range(40):
        ActionChains(page.browser).send_keys(Keys.TAB).perform()
        reached.append(page.run("const one = document.activeElement; return one.id || one.innerText"))
        if reached[-1].startswith("TradingView"):
            break
    assert reached[:2] == ["Skip to the market", "theme"]
    assert reached[2:10] == ["1m", "5m", "15m", "30m", "1h", "4h", "1d", "chart"]
    assert "BTC-USD" in reached


def test_keys_move_and_zoom_the_chart(page: MarketView, market: Market) -> None:
    market.trade_at("100")
    page.open_live(address(market))
    page.part("chart").click()
    legend = page.text("legend")
    before = page.part("chart").screenshot_as_png
    ActionChains(page.browser).send_keys("+", Keys.ARROW_LEFT).perform()
    page.until(lambda shown: page.part("chart").screenshot_as_png != before)
    assert page.text("legend") == legend


def test_markets_are_listed_with_their_prices(page: MarketView, gateway: RunningGateway, market: Market) -> None:
    market.trade_at("120")
    page.open_live(f"{gateway.url}/market/BTC-USD")
    page.until(lambda shown: [market.engine_symbol, "120.00"] in [row[:2] for row in page.rows("tickers")])
    market.trade_at("126")
    page.until(lambda shown: [market.engine_symbol, "126.00", "+5.00 %"] in page.rows("tickers"))
    page.browser.find_element(By.LINK_TEXT, market.engine_symbol).click()
    page.until(lambda shown: page.text("last") == "126.00")


def test_an_unknown_market_lists_the_others(view: MarketView, gateway: RunningGateway) -> None:
    view.open(f"{gateway.url}/market/XYZ-USD")
    assert view.browser.find_element(By.TAG_NAME, "h1").text == "There is no market XYZ-USD"
    view.browser.find_element(By.LINK_TEXT, "BTC-USD").click()
    view.until_state("live")
    assert not view.complaints()
