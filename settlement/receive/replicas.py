"""Which engines settlement listens to: the leader, or all replicas of a log."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from matching.feed.reader import Feed as OneFeed
from matching.feed.replica_feeds import ReplicaFeeds
from matching.transport import wire
from matching.transport.sockets import Network
from settlement import metrics
from settlement.receive.chain import Refuse, never_refuse
from settlement.receive.feed import Feed
from settlement.worker_status import WorkerStatus


@dataclass(frozen=True)
class Listening:
    """The feed of a settlement worker, and the functions that belong to its kind."""

    feed: Feed
    refuse: Refuse
    complete: Callable[[WorkerStatus], WorkerStatus]
    """Returns the worker's status with the refused replicas added."""


def to_leader(addresses: wire.Addresses, make_network: Callable[[], Network]) -> Listening:
    """Listens to one engine, the leader. Raises AddressUnusable."""
    feed = OneFeed(addresses.blocks, addresses.retransmission, make_network=make_network)
    return Listening(feed, never_refuse, lambda status: status)


def to_replicas(commands: Sequence[str], make_network: Callable[[], Network]) -> Listening:
    """Listens to the replicas at these command addresses. Raises AddressUnusable."""
    feeds = ReplicaFeeds(commands, make_network=make_network)

    def complete(status: WorkerStatus) -> WorkerStatus:
        refused = feeds.refused()
        for address in feeds.addresses():
            metrics.REPLICA_REFUSED.labels(address).set(address in refused)
        return replace(status, refused_replicas=refused)

    return Listening(feeds, feeds.refuse, complete)
