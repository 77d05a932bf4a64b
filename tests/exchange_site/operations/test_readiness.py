"""What `make run` tells the operator."""

from pytest_django import Settings

from exchange_site.operations import readiness


def test_the_address_of_the_market_page_is_told(settings: Settings) -> None:
    settings.GATEWAY_ADDRESS = "127.0.0.1:8080"
    assert "  market    http://127.0.0.1:8080/market/\n" in readiness.welcome()
    settings.GATEWAY_CERTIFICATE_FILE = "certificate.pem"
    assert "  market    https://127.0.0.1:8080/market/\n" in readiness.welcome()


def test_a_page_that_is_switched_off_is_not_told(settings: Settings) -> None:
    settings.GATEWAY_MARKET_PAGE = False
    assert "market" not in readiness.welcome()
