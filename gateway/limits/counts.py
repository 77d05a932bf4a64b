"""Counts by name in intervals of the clock, of one gateway or of several that share them.

A count is what this gateway has added and not sent yet, plus the sum of all gateways as it was last heard. A gateway
that shares nothing sends nothing, so its own counts are all there is.
"""

from collections.abc import Mapping


class Counts:
    """`label` tells these counts from others that are shared. All of them begin again with each interval."""

    def __init__(self, label: str, seconds: int) -> None:
        self.label = label
        self.seconds = seconds
        self._number = -1
        self._begins_s = self._ends_s = 0.0
        self._unsent: dict[str, int] = {}
        self._shared: dict[str, int] = {}

    def get(self, name: str, now_s: float) -> int:
        if not self._begins_s <= now_s < self._ends_s:
            self._begin(now_s)
        return max(0, self._shared.get(name, 0) + self._unsent.get(name, 0))

    def add(self, name: str, amount: int, now_s: float) -> int:
        """Returns the new count, which is never below 0."""
        if not self._begins_s <= now_s < self._ends_s:
            self._begin(now_s)
        shared = self._shared.get(name, 0)
        count = max(0, shared + self._unsent.get(name, 0) + amount)
        self._unsent[name] = count - shared
        return count

    def rest_s(self, now_s: float) -> int:
        """Seconds until the interval has ended, rounded up."""
        return int(self.seconds - now_s % self.seconds) + 1

    # Sharing

    def take_unsent(self, now_s: float) -> tuple[int, Mapping[str, int]]:
        """The number of the interval, and what is to be sent. It stays in the counts until `hear` replaces it."""
        self._begin(now_s)
        return self._number, {name: amount for name, amount in self._unsent.items() if amount}

    def hear(self, number: int, sent: Mapping[str, int], sums: Mapping[str, int]) -> None:
        """Takes over the sums of all gateways after they got `sent`."""
        if number != self._number:
            return
        for name, total in sums.items():
            self._shared[name] = total
            self._unsent[name] = self._unsent.get(name, 0) - sent[name]

    def _begin(self, now_s: float) -> None:
        number = int(now_s // self.seconds)
        if number != self._number:
            self._number = number
            self._begins_s, self._ends_s = number * self.seconds, (number + 1) * self.seconds
            self._unsent.clear()
            self._shared.clear()
