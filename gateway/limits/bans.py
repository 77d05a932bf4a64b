"""Bans of addresses: for two minutes, and after each further ban twice as long, up to three days.

Gateways may share them: each sends the bans that it begins, and hears those of the others.
"""

from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import NamedTuple

_FIRST_S = 120.0
LONGEST_S = 3 * 24 * 3600.0
KEPT = 100_000


class Ban(NamedTuple):
    """`until_s`: seconds since 1970. `length_s` tells how long the next one will be."""

    network: str
    until_s: float
    length_s: float


class Bans:
    """All times are seconds since 1970."""

    def __init__(self) -> None:
        self._by_network: OrderedDict[str, Ban] = OrderedDict()
        self._unsent: deque[Ban] = deque(maxlen=KEPT)
        self.begun = 0
        """Bans that this gateway has begun."""

    def find(self, network: str, now_s: float) -> Ban | None:
        """The ban that holds now."""
        ban = self._by_network.get(network)
        return ban if ban is not None and now_s < ban.until_s else None

    def begin(self, network: str, now_s: float) -> Ban:
        earlier = self._by_network.get(network)
        length_s = min(2 * earlier.length_s, LONGEST_S) if earlier else _FIRST_S
        ban = Ban(network, now_s + length_s, length_s)
        self._keep(ban)
        self._unsent.append(ban)
        self.begun += 1
        return ban

    def count(self, now_s: float) -> int:
        """Number of bans that hold now. May be called in any thread."""
        return sum(now_s < ban.until_s for ban in list(self._by_network.values()))

    def _keep(self, ban: Ban) -> None:
        self._by_network[ban.network] = ban
        self._by_network.move_to_end(ban.network)
        while len(self._by_network) > KEPT:
            self._by_network.popitem(last=False)

    # Sharing

    def unsent(self) -> Sequence[Ban]:
        """Bans that other gateways do not know yet, the oldest first."""
        return tuple(self._unsent)

    def note_sent(self, count: int) -> None:
        """The first `count` of `unsent` were sent."""
        for _ in range(count):
            self._unsent.popleft()

    def hear(self, ban: Ban) -> None:
        """Takes over a ban, which may be one of its own, unless a later one is known."""
        known = self._by_network.get(ban.network)
        if known is None or known.until_s < ban.until_s:
            self._keep(ban)
