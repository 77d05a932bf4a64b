"""Metrics of the web's limits. Only the web process imports this module."""

from prometheus_client import Counter, Gauge

CONNECTIONS = Gauge("web_connections", "Open connections to the web.")
CLOSED_CONNECTIONS = Counter(
    "web_closed_connections_total",
    "Connections that the web closed: 'slow' clients, the oldest over the limit of 'connections', and those for which"
    " too many 'bytes' waited.",
    ["limit"],
)
REFUSED_REQUESTS = Counter(
    "web_refused_requests_total",
    "Requests that the web refused without a page: the body is 'too_large', or all places were 'busy'.",
    ["reason"],
)
