"""Which engines settlement listens to: whoever leads, or all replicas of a log."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from matching.feed.reader import Feed as OneFeed
from matching.feed.replica_feeds import ReplicaFeeds
from matching.transport import wire
from settlement import metrics
from settlement.receive.chain import Refuse, nobody_else
from settlement.receive.feed import Feed
from settlement.worker_status import WorkerStatus


@dataclass(frozen=True)
class Listening:
    """What a settlement worker is given."""

    feed: Feed
    refuse: Refuse
    complete: Callable[[WorkerStatus], WorkerStatus]
    """Adds to what the worker reports what is known of the replicas."""


def to_leader(addresses: wire.Addresses) -> Listening:
    """Raises AddressUnusable."""
    return Listening(OneFeed(addresses.blocks, addresses.retransmission), nobody_else, lambda status: status)


def to_replicas(commands: Sequence[str]) -> Listening:
    """At these command addresses. Raises AddressUnusable."""
    feeds = ReplicaFeeds(commands)

    def complete(status: WorkerStatus) -> WorkerStatus:
        refused = feeds.refused()
        for address in feeds.addresses():
            metrics.REPLICA_REFUSED.labels(address).set(address in refused)
        return replace(status, refused_replicas=refused)

    return Listening(feeds, feeds.refuse, complete)
