"""Follows the leader: reads from the store which engine leads, and connects the feed to it.

Announcements of other engines are ignored. The replicas of a log share one epoch, so all of them count as leader.
"""

from matching.core.epochs import Epoch, newest
from matching.transport import wire
from matching.transport.engine_roles import REPLICA, TAKE_COMMANDS
from settlement.clock import Clock
from settlement.options import Options
from settlement.receive.feed import Feed
from settlement.stores.base import Store
from settlement.stores.retrying import StoreRetrier, StoreWork


class Leadership:
    """The store's epochs as last read. Before the first epoch the feed keeps its configured addresses."""

    def __init__(self, feed: Feed, store: Store, *, clock: Clock, options: Options, retrier: StoreRetrier) -> None:
        self._feed = feed
        self._store = store
        self._clock = clock
        self._options = options
        self._retrier = retrier
        self._read_at_s = clock.monotonic()
        self._listens_at: wire.Addresses | None = None
        self.epochs: list[Epoch] = []

    @property
    def newest(self) -> Epoch | None:
        return newest(self.epochs)

    @property
    def is_due(self) -> bool:
        """Whether it is time to `refresh`."""
        return self._clock.monotonic() - self._read_at_s >= self._options.epochs_every_s

    @property
    def is_on_leader(self) -> bool:
        """Whether the feed's engine is the leader. Another one may be outdated."""
        status, leader = self._feed.status(), self.newest
        if leader is None:
            return True
        return status is not None and status.role in TAKE_COMMANDS and status.fields.get("epoch") == leader.number

    @property
    def is_on_replica(self) -> bool:
        """Whether the feed's engine is a replica of a log. A replica that is behind catches up and loses no blocks."""
        status = self._feed.status()
        return status is not None and status.role == REPLICA

    @property
    def announced(self) -> int:
        """The newest block that the leader announced; 0: none yet."""
        return self._feed.newest() if self.is_on_leader else 0

    def refresh(self) -> StoreWork[bool]:
        """Reads the epochs and connects the feed to the leader; returns whether the epochs changed."""
        # The addresses were checked before the epoch began. So AddressUnusable means damage, and ends settlement.
        before, at = self.epochs, self._listens_at
        self.epochs = yield from self._retrier(self._store.epochs)
        self._read_at_s = self._clock.monotonic()
        leader = self.newest
        if leader is not None:
            self._listens_at = wire.Addresses(leader.commands, leader.blocks, leader.retransmission)
        if self._listens_at is not None and self._listens_at != at:
            self._feed.move(self._listens_at)
        return self.epochs != before
