"""What a running gateway exports, and the table and the dashboard that name it."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.request import ProxyHandler, build_opener

import pytest
from django.conf import settings
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from exchange_site.gateway_host.wiring import probes
from exchange_site.operations import worker_http
from exchange_site.operations.free_addresses import free_ports
from gateway.market.exchange_info import RateLimits
from gateway.metrics import GatewayMetrics
from tests.gateway.running_gateway import RunningGateway, running_gateway
from tests.gateway.signed_client import SignedClient
from tests.gateway.streams.consumer import consuming
from tests.gateway.trading import new_market
from tests.gateway.ws_client import WsClient, hmac_signer
from tests.matching.small_exchange import until

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]

DASHBOARD: dict[str, Any] = json.loads(
    (settings.BASE_DIR / "deploy" / "grafana" / "dashboards" / "gateway.json").read_text()
)
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
DOCUMENT = (settings.BASE_DIR / "docs" / "api-operation.md").read_text()


def text(gateway: RunningGateway) -> str:
    registry = CollectorRegistry()
    registry.register(GatewayMetrics(gateway.parts))
    return generate_latest(registry).decode()


def samples(gateway: RunningGateway) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text(gateway))
        for sample in family.samples
    }


def value(gateway: RunningGateway, name: str, **labels: str) -> float:
    return samples(gateway).get((name, frozenset(labels.items())), 0.0)


def requests(gateway: RunningGateway, route: str, *, api: str = "rest", status: int = 200, code: int = 0) -> float:
    labels = {"api": api, "route": route, "status": str(status), "code": str(code)}
    return value(gateway, "gateway_requests_total", **labels)


def orders(gateway: RunningGateway) -> list[float]:
    return [value(gateway, "gateway_orders_total", answer=answer) for answer in ("accepted", "insufficient_balance")]


def exported(gateway: RunningGateway) -> set[str]:
    """Names of all samples, with or without a value."""
    families = GatewayMetrics(gateway.parts).collect()
    return {family.name + ("_total" if family.type == "counter" else "") for family in families}


def test_requests_are_counted_by_route_and_code(gateway: RunningGateway) -> None:
    client = SignedClient(gateway.url)
    client.get("depth", symbol="BTCUSD")
    client.get("depth", symbol="NOTHING")
    for path in ("depth/../../secret", "nothing", "x" * 1000):
        assert client.get(path).status == 404
    client.post("depth")
    assert requests(gateway, "GET /api/v3/depth") == 1
    assert requests(gateway, "GET /api/v3/depth", status=400, code=-1121) == 1
    assert requests(gateway, "other", status=404, code=-1000) == 3
    assert requests(gateway, "other", status=405, code=-1000) == 1
    with WsClient(f"{gateway.stream_url}/ws-api/v3") as session:
        session.ask("ping")
        session.ask("no.such.method")
        session.send_text("{")
        session.receive()
    assert requests(gateway, "ping", api="websocket") == 1
    assert requests(gateway, "other", api="websocket", status=400, code=-1020) == 1
    assert requests(gateway, "other", api="websocket", status=400, code=-1135) == 1


def test_weight_is_counted(gateway: RunningGateway) -> None:
    before = value(gateway, "gateway_weight_total")
    SignedClient(gateway.url).get("exchangeInfo")
    assert value(gateway, "gateway_weight_total") - before == 20


def test_orders_are_counted_by_answer(gateway: RunningGateway) -> None:
    market = new_market(gateway)
    before = orders(gateway)
    assert market.place("buyer", "BUY", "1", "100").status == 200
    assert market.place("buyer", "BUY", "10001", "100").status == 400
    assert [now - earlier for now, earlier in zip(orders(gateway), before, strict=True)] == [1, 1]


def test_orders_over_the_limit_and_bans_are_counted() -> None:
    limits = RateLimits(weight_per_minute=40, orders_per_10_seconds=0, orders_per_day=0)
    with running_gateway(limits) as gateway:
        client = SignedClient(gateway.url, *gateway.keys.add(1))
        order: dict[str, Any] = {"symbol": "BTCUSD", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
        assert client.post("order", **order, quantity="1", price="100").status == 429
        until(lambda: client.get("exchangeInfo").status == 418, "a ban")
        assert value(gateway, "gateway_orders_total", answer="limited") == 1
        assert (value(gateway, "gateway_bans_total"), value(gateway, "gateway_banned_addresses")) == (1, 1)


def test_connections_and_subscriptions_are_counted_by_kind(gateway: RunningGateway) -> None:
    key, secret = gateway.keys.add(1)
    name = SignedClient(gateway.url, key, secret).send_raw("POST", "userDataStream").body["listenKey"]
    with (
        consuming(f"{gateway.stream_url}/ws/btcusd@trade/btcusd@depth") as consumer,
        consuming(f"{gateway.stream_url}/ws/{name}"),
        WsClient(f"{gateway.stream_url}/ws-api/v3", key, hmac_signer(secret)) as session,
    ):
        assert session.signed("userDataStream.subscribe.signature")["status"] == 200
        consumer.ask("SUBSCRIBE", "btcusd@trade", "btcusd@ticker")

        def counted(metric: str, kind: str) -> float:
            return value(gateway, metric, kind=kind)

        for kind in ("stream", "user_stream", "websocket_api"):
            until(lambda kind=kind: counted("gateway_connections", kind) == 1, f"one connection of {kind}")  # type: ignore[misc]
        assert [counted("gateway_subscriptions", kind) for kind in ("stream", "user")] == [3, 2]
        consumer.ask("UNSUBSCRIBE", "btcusd@trade")
        assert counted("gateway_subscriptions", "stream") == 2
    until(lambda: counted("gateway_subscriptions", "stream") == 0, "the end of the streams")
    until(lambda: counted("gateway_subscriptions", "user") == 0, "the end of the user data")
    until(lambda: counted("gateway_connections", "user_stream") == 0, "the end of the connections")


def test_lag_is_told_in_blocks_and_seconds(gateway: RunningGateway) -> None:
    assert value(gateway, "gateway_block_number") >= 1
    until(lambda: value(gateway, "gateway_block_lag") == 0, "the gateway to have every block")
    until(lambda: value(gateway, "gateway_behind_seconds") < 1, "the gateway to be level with the engine")


def test_health_is_answered_over_http(gateway: RunningGateway) -> None:
    opener = build_opener(ProxyHandler({}))
    with worker_http.serve(f"127.0.0.1:{free_ports(1)[0]}", probes(gateway.parts)) as server:
        answer = opener.open(f"http://127.0.0.1:{server.port}/health/ready", timeout=10)
        assert json.loads(answer.read())["checks"]["engine"]["ok"] is True


def test_the_table_in_the_documents_lists_what_a_gateway_exports(gateway: RunningGateway) -> None:
    table = re.findall(r"^\| `(gateway_\w+)` \|([^|]*)\|", DOCUMENT, re.MULTILINE)
    assert {name for name, _ in table} == exported(gateway)
    market = new_market(gateway)
    market.place("buyer", "BUY", "1", "100")
    found: dict[str, set[str]] = {}
    for name, labels in samples(gateway):
        found.setdefault(name, set()).update(label for label, _ in labels)
    assert {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in table} == found


def expressions() -> Iterator[str]:
    for panel in PANELS:
        for target in panel["targets"]:
            yield target["expr"]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))
def test_a_panel_shows_only_metrics_that_a_gateway_exports(gateway: RunningGateway, panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        named = set(re.findall(r"\bgateway_\w+", target["expr"]))
        assert named
        assert named <= exported(gateway)
    assert panel["description"].endswith(".")
    assert panel["datasource"]["uid"] == "prometheus"


def test_every_metric_is_on_the_dashboard(gateway: RunningGateway) -> None:
    shown = {name for expression in expressions() for name in re.findall(r"\bgateway_\w+", expression)}
    assert shown == exported(gateway)


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not taken & cells, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
