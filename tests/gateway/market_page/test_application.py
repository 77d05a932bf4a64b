"""What the gateway answers below /market, over a real port."""

import gzip
import http.client
import json
import re
import socket
from collections.abc import Iterator

import pytest

from gateway.market_page.application import CONTENT_SECURITY_POLICY
from tests.gateway.running_gateway import RunningGateway, gateway_of, running_gateway
from tests.gateway.signed_client import SignedClient
from tests.gateway.trading import new_market
from tests.matching import small_exchange


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def text(self) -> str:
        return self.body.decode("utf-8")


def ask(gateway: RunningGateway, path: str, method: str = "GET", **headers: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        return Answer(connection.getresponse())
    finally:
        connection.close()


def asset_addresses(gateway: RunningGateway) -> list[str]:
    page = ask(gateway, "/market/BTC-USD").text
    return re.findall(r'(?:src|href)="(assets/[^"]+)"', page)


@pytest.fixture(scope="module")
def empty() -> Iterator[RunningGateway]:
    """A gateway of an engine without instruments."""
    with small_exchange.leader(small_exchange.plan()) as engine, gateway_of(engine) as one:
        yield one


def test_the_page_names_its_instrument_and_links_all(gateway: RunningGateway) -> None:
    other = new_market(gateway)
    answer = ask(gateway, "/market/BTC-USD")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert 'data-symbol="BTCUSD" data-name="BTC-USD" data-base="BTC" data-quote="USD"' in answer.text
    assert 'data-price-decimals="2" data-quantity-decimals="4" data-status="TRADING"' in answer.text
    assert f'href="{other.engine_symbol}"' in answer.text
    assert re.findall(r'href="([\w-]+)" aria-current="page"', answer.text) == ["BTC-USD"]


@pytest.mark.parametrize(
    ("path", "target"),
    [("/market", "market/"), ("/market/", "BTC-USD"), ("/market/btc-usd", "BTC-USD"), ("/market/BTCUSD", "BTC-USD")],
)
def test_other_names_lead_to_the_page(gateway: RunningGateway, path: str, target: str) -> None:
    answer = ask(gateway, path)
    assert (answer.status, answer.headers["location"]) == (302, target)


def test_an_unknown_instrument_is_404_with_the_list_of_all(gateway: RunningGateway) -> None:
    answer = ask(gateway, "/market/%3Cscript%3Ealert(1)")
    assert answer.status == 404
    assert "There is no market &lt;script&gt;alert(1)" in answer.text
    assert 'href="BTC-USD"' in answer.text


def test_without_instruments_there_is_a_page_that_says_so(empty: RunningGateway) -> None:
    answer = ask(empty, "/market/")
    assert (answer.status, "There is no market yet" in answer.text) == (200, True)
    assert "This exchange has no instrument yet" in ask(empty, "/market/BTC-USD").text


@pytest.mark.parametrize(
    "path", ["/market/BTC-USD", "/market/XYZ", "/market/BTC-USD/state", "/market/a/b/c", "/market"]
)
def test_every_answer_forbids_what_is_inline_or_foreign(gateway: RunningGateway, path: str) -> None:
    answer = ask(gateway, path)
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-cache"


def test_static_files_may_be_kept_for_ever_and_are_compressed(gateway: RunningGateway) -> None:
    addresses = asset_addresses(gateway)
    assert {address.rpartition("/")[2] for address in addresses} >= {"main.js", "theme.js", "market.css", "icon.svg"}
    for address in addresses:
        plain = ask(gateway, f"/market/{address}")
        packed = ask(gateway, f"/market/{address}", accept_encoding="br, gzip")
        assert plain.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert (plain.status, plain.headers["content-encoding"]) == (200, None)
        assert packed.headers["content-encoding"] == "gzip"
        assert gzip.decompress(packed.body) == plain.body


@pytest.mark.parametrize("name", ["missing.js", "../application.py", "%2e%2e/application.py", "vendor", ""])
def test_other_files_are_not_there(gateway: RunningGateway, name: str) -> None:
    folder = asset_addresses(gateway)[0].rpartition("/")[0]
    assert ask(gateway, f"/market/{folder}/{name}").status == 404


def test_files_of_another_version_are_not_there(gateway: RunningGateway) -> None:
    assert ask(gateway, "/market/assets/0123456789abcdef/main.js").status == 404


def test_the_state_tells_of_a_halt(gateway: RunningGateway) -> None:
    market = new_market(gateway)
    path = f"/market/{market.engine_symbol}/state"
    assert json.loads(ask(gateway, path).body) == {"isReady": True, "status": "TRADING"}
    gateway.call({"command": "instrument_status", "symbol": market.engine_symbol, "status": "halted"})
    assert json.loads(ask(gateway, path).body) == {"isReady": True, "status": "HALT"}


def test_the_state_of_an_unknown_instrument_is_not_ready(gateway: RunningGateway) -> None:
    assert json.loads(ask(gateway, "/market/XYZ/state").body) == {"isReady": False, "status": None}


def test_a_page_can_only_be_read(gateway: RunningGateway) -> None:
    answer = ask(gateway, "/market/BTC-USD", "POST")
    assert (answer.status, answer.headers["allow"], answer.headers["connection"]) == (405, "GET, HEAD", "close")
    head = ask(gateway, "/market/BTC-USD", "HEAD")
    assert (head.status, head.body) == (200, b"")


def test_a_request_with_a_body_ends_its_connection(gateway: RunningGateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), 20) as connection:
        connection.sendall(b"GET /market/BTC-USD HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
        said = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert said.startswith(b"HTTP/1.1 400 ")


def test_other_paths_are_those_of_the_api(gateway: RunningGateway) -> None:
    assert SignedClient(gateway.url).get("ping").body == {}
    assert ask(gateway, "/markets").headers["content-type"] == "application/json;charset=UTF-8"


def test_a_setting_switches_the_page_off() -> None:
    with running_gateway(has_market_page=False) as gateway:
        answer = ask(gateway, "/market/BTC-USD")
        assert (answer.status, json.loads(answer.body)["code"]) == (404, -1000)
