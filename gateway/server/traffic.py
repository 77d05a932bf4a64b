"""What a gateway has answered, counted for its metrics.

Counted in the event loop and read by another thread. Values of labels are bounded: what is not known is "other".
"""

from collections import defaultdict

OTHER = "other"
REST, WEBSOCKET = "rest", "websocket"

ACCEPTED, LIMITED, NOT_EXECUTED, UNKNOWN = "accepted", "limited", "not_executed", "unknown"
"""Answers to an order, besides the engine's reasons for a refusal."""

RequestLabels = tuple[str, str, int, int]
"""API, route, HTTP status, code of the error (0: none)."""


class Traffic:
    def __init__(self) -> None:
        self._requests: defaultdict[RequestLabels, int] = defaultdict(int)
        self._orders: defaultdict[str, int] = defaultdict(int)

    def count_request(self, api: str, route: str, status: int, code: int = 0) -> None:
        """`code` is that of the error in the answer."""
        self._requests[api, route, status, code] += 1

    def count_orders(self, answer: str, orders: int = 1) -> None:
        self._orders[answer] += orders

    def requests(self) -> dict[RequestLabels, int]:
        return dict(self._requests)

    def orders(self) -> dict[str, int]:
        return dict(self._orders)
