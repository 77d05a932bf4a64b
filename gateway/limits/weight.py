"""Weight of requests: what one address may use in a minute, and how long it is banned if it goes on.

A minute is one of the clock, so the count of every address begins again at the same time. An address that has used up
its weight gets 429 until the minute ends. If it keeps sending, it is banned (418): for two minutes, and after each
further ban twice as long, up to three days. For IPv6 an address is its /64 network, which is what a client has.
"""

from collections.abc import Callable
from ipaddress import IPv6Address, ip_address, ip_network

from gateway.limits.bans import Bans
from gateway.limits.counts import Counts
from gateway.rest.errors import ApiError

_MINUTE_S = 60
_REFUSED_UNTIL_BAN = 100
_IPV6_NETWORK_BITS = 64


class WeightLimit:
    """`clock` returns seconds since 1970. `counts`, `refused` and `bans` may be shared with other gateways."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self.per_minute = per_minute
        self.counts = Counts("weight", _MINUTE_S)
        self.refused = Counts("refused", _MINUTE_S)
        self._clock = clock
        self.bans = Bans()
        self.charged = 0
        """Weight of all requests, those included that were refused for their weight."""

    def charge(self, address: str, weight: int) -> int:
        """Counts a request; returns what the address has used in this minute. Raises ApiError if that is too much."""
        network, now_s = network_of(address), self._clock()
        self._refuse_banned(network, now_s)
        used = self.counts.add(network, weight, now_s)
        self.charged += weight
        if used <= self.per_minute:
            return used
        if self.refused.add(network, 1, now_s) > _REFUSED_UNTIL_BAN:
            self.bans.begin(network, now_s)
            self._refuse_banned(network, now_s)
        raise ApiError(
            -1003,
            f"Too much request weight used; current limit is {self.per_minute} request weight per 1 MINUTE. Please use "
            "WebSocket Streams for live updates to avoid polling the API.",
            status=429,
            headers={"Retry-After": str(self.counts.rest_s(now_s))},
        )

    def used(self, address: str) -> int:
        """What the address has used in this minute."""
        return self.counts.get(network_of(address), self._clock())

    @property
    def banned_count(self) -> int:
        """Addresses that are banned now."""
        return self.bans.count(self._clock())

    def _refuse_banned(self, network: str, now_s: float) -> None:
        ban = self.bans.find(network, now_s)
        if ban is None:
            return
        raise ApiError(
            -1003,
            f"Way too much request weight used; IP banned until {int(ban.until_s * 1000)}. Please use WebSocket "
            "Streams for live updates to avoid bans.",
            status=418,
            headers={"Retry-After": str(int(ban.until_s - now_s) + 1)},
        )


def network_of(address: str) -> str:
    """The address of IPv4, the /64 network of IPv6; any other text as it is."""
    if ":" not in address:
        return address
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return address
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(ip_network((int(found), _IPV6_NETWORK_BITS), strict=False))
