from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome

from tests.gateway.market_page.market_view import MarketView, market_view


@pytest.fixture
def view(browser: Chrome) -> Iterator[MarketView]:
    with market_view(browser) as one:
        yield one
