"""The gateway's metrics for Prometheus. Their names are a contract, because alerts and dashboards use them."""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.model.model import Model
from gateway.streams.server import StreamServer


class GatewayMetrics(Collector):
    """Reads the values when they are asked for."""

    def __init__(self, model: Model, streams: StreamServer) -> None:
        self._model = model
        self._streams = streams

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily(
            "gateway_block_number", "Newest block in the read model.", value=self._model.block_number
        )
        yield GaugeMetricFamily(
            "gateway_behind_seconds",
            "Time since the read model had every block that the engine has told of.",
            value=self._model.behind_s,
        )
        yield GaugeMetricFamily(
            "gateway_stream_connections",
            "Open WebSocket connections of consumers of streams.",
            value=self._streams.connection_count,
        )
        yield CounterMetricFamily(
            "gateway_slow_consumers",
            "Connections that were closed because their consumer was too slow.",
            value=self._streams.slow_consumers,
        )
