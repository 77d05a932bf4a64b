"""The gateway's metrics for Prometheus. Their names are a contract, because alerts and dashboards use them."""

from collections.abc import Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.process import Parts


class GatewayMetrics(Collector):
    """Reads the values when they are asked for, in another thread than that of the event loop."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def collect(self) -> Iterable[Metric]:
        yield from self._lag()
        yield from self._requests()
        yield from self._limits()
        yield from self._connections()

    def _lag(self) -> Iterable[Metric]:
        parts = self._parts
        yield _gauge("gateway_block_number", "Newest block in the read model.", parts.model.block_number)
        yield _gauge(
            "gateway_block_lag",
            "Blocks that the engine has told of and the read model does not have.",
            parts.applier.blocks_behind,
        )
        yield _gauge(
            "gateway_behind_seconds",
            "Time since the read model had every block that the engine has told of.",
            parts.model.behind_s,
        )
        yield _gauge(
            "gateway_engine_batches",
            "Batches of commands that the engine has not answered yet.",
            parts.entry.in_flight,
        )

    def _requests(self) -> Iterable[Metric]:
        counted = self._parts.trading.traffic
        requests = CounterMetricFamily(
            "gateway_requests_total",
            "Answered requests. Status is that of HTTP, code that of the error, 0 without one.",
            labels=("api", "route", "status", "code"),
        )
        for (api, route, status, code), count in counted.requests().items():
            requests.add_metric((api, route, str(status), str(code)), count)
        yield requests
        yield _counters("gateway_orders_total", "New orders by their answer.", "answer", counted.orders())

    def _limits(self) -> Iterable[Metric]:
        weights = self._parts.trading.weights
        yield CounterMetricFamily("gateway_weight_total", "Weight of all requests.", value=weights.charged)
        yield CounterMetricFamily("gateway_bans_total", "Bans of addresses by this gateway.", value=weights.bans.begun)
        yield _gauge("gateway_banned_addresses", "Addresses that are banned now.", weights.banned_count)

    def _connections(self) -> Iterable[Metric]:
        streams, trading = self._parts.streams, self._parts.trading
        yield _gauges(
            "gateway_connections",
            "Open connections.",
            "kind",
            {
                "http": len(self._parts.http_connections),
                "stream": streams.connection_count,
                "websocket_api": trading.session_count,
                "user_stream": trading.user_stream_count,
            },
        )
        yield _gauges(
            "gateway_subscriptions",
            "Subscriptions to streams, and to the user data of accounts.",
            "kind",
            {"stream": streams.subscription_count, "user": trading.subscription_count},
        )
        yield _counters(
            "gateway_slow_consumers_total",
            "Connections that were closed because their client was too slow.",
            "kind",
            {
                "stream": streams.slow_consumers,
                "websocket_api": trading.slow_sessions,
                "user_stream": trading.slow_user_streams,
            },
        )


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=(label,))
    for value, count in values.items():
        family.add_metric((value,), count)
    return family


def _counters(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(name, text, labels=(label,))
    for value, count in values.items():
        family.add_metric((value,), count)
    return family
