"""A cache of the most recently used items."""

from collections.abc import Iterable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class RecentlyUsed(Generic[K, V]):
    """Keeps at least the last `size` keys that were put or taken, and at most twice as many plus one batch.

    Two dictionaries avoid bookkeeping per key: a used key moves to the young one, and when that is full it replaces
    the old one, which is dropped. `size` None: nothing is dropped.
    """

    def __init__(self, size: int | None) -> None:
        self._size = size
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def take(self, keys: Iterable[K]) -> dict[K, V]:
        """The values of those of `keys` that are in the cache."""
        found: dict[K, V] = {}
        for key in keys:
            if key in self._young:
                found[key] = self._young[key]
            elif key in self._old:
                found[key] = self._young[key] = self._old.pop(key)
        return found

    def put(self, values: dict[K, V]) -> None:
        if self._size is not None and len(self._young) >= self._size:
            self._old, self._young = self._young, {}
        self._young.update(values)

    def forget(self, keys: Iterable[K]) -> None:
        for key in keys:
            self._young.pop(key, None)
            self._old.pop(key, None)

    def values(self) -> dict[K, V]:
        """All items in the cache."""
        return {**self._old, **self._young}  # if a key is in both, the young one is newer
