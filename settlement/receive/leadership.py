"""Follows the leader: reads from the store which engine leads, and connects the feed to it.

Other engines are ignored. If the engine is a replica of a log, the epoch is that of the log and all replicas count.
"""

from matching.core.epochs import Epoch, newest
from matching.transport import wire
from settlement.clock import Clock
from settlement.options import Options
from settlement.receive.feed import Feed
from settlement.stores.base import Store
from settlement.stores.retrying import Patience, StoreWork

_LEADER, _REPLICA = "leader", "replica"  # as in matching.node.status, whose import would load the engine


class Leadership:
    """The store's epochs as last read. Before the first epoch the feed keeps its configured addresses."""

    def __init__(self, feed: Feed, store: Store, clock: Clock, options: Options, patience: Patience) -> None:
        self._feed = feed
        self._store = store
        self._clock = clock
        self._options = options
        self._patience = patience
        self._asked_at_s = clock.monotonic()
        self._listens_at: wire.Addresses | None = None
        self.epochs: list[Epoch] = []

    @property
    def newest(self) -> Epoch | None:
        return newest(self.epochs)

    @property
    def is_due(self) -> bool:
        """Whether it is time to `look` again."""
        return self._clock.monotonic() - self._asked_at_s >= self._options.epochs_every_s

    @property
    def is_heard(self) -> bool:
        """Whether the engine that the feed listens to is the leader; another one may be outdated."""
        status, leader = self._feed.status(), self.newest
        if leader is None:
            return True
        return status is not None and status.role in (_LEADER, _REPLICA) and status.fields.get("epoch") == leader.number

    @property
    def is_of_log(self) -> bool:
        """Whether the feed listens to a replica of a log. A replica that is behind catches up and loses no blocks."""
        status = self._feed.status()
        return status is not None and status.role == _REPLICA

    @property
    def announced(self) -> int:
        """The newest block that the leader announced; 0: none yet."""
        return self._feed.newest() if self.is_heard else 0

    def look(self) -> StoreWork[bool]:
        """Asks the store and follows the leader; whether anything is new."""
        # The epoch's addresses were checked when it began, so AddressUnusable is damage and ends settlement.
        before, at = self.epochs, self._listens_at
        self.epochs = yield from self._patience(self._store.epochs)
        self._asked_at_s = self._clock.monotonic()
        leader = self.newest
        if leader is not None:
            self._listens_at = wire.Addresses(leader.commands, leader.blocks, leader.retransmission)
        if self._listens_at is not None and self._listens_at != at:
            self._feed.move(self._listens_at)
        return self.epochs != before
