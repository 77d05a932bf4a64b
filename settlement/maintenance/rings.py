"""The blocks that a running engine still holds in its ring, as a source for `restore`."""

from collections.abc import Callable
from pathlib import Path

from matching.core.blocks import Block
from matching.core.errors import EngineUnreachable
from matching.feed.reader import Feed
from matching.storage.segments import SegmentFile
from matching.transport import wire
from matching.transport.sockets import Network
from settlement.maintenance.kept_blocks import Source

PATIENCE_S = 10.0
_WAIT_S = 0.5
_LIMIT = 256


def ring_at(address: str, make_network: Callable[[], Network], patience_s: float = PATIENCE_S) -> Source:
    """The blocks in the ring of the leader or follower at this address, fetched now and kept in memory.

    A ring is at most as large as ENGINE_RING_BYTES. Raises EngineUnreachable, AddressUnusable, BadBlock.
    """
    feed = Feed.discover(address, patience_s, make_network=make_network)
    try:
        blocks = _fetched(feed, address, patience_s)
    finally:
        feed.close()
    file = SegmentFile(Path(address), blocks, 0, "")
    return Source("ring of the engine", address, lambda: iter([file]))


def _fetched(feed: Feed, address: str, patience_s: float) -> list[Block]:
    first, last = _range(_status(feed, address, patience_s))
    held: dict[int, Block] = {}
    if first:
        feed.request(first, last)
    while first and not all(number in held for number in range(first, last + 1)):
        _refuse_silence(feed, address, patience_s)
        held |= {block.number: block for block in feed.receive(_WAIT_S, _LIMIT) if first <= block.number <= last}
        if missing := feed.missing():  # the ring has dropped the first ones meanwhile
            first = missing[1]
            feed.request(first, last)
    return [held[number] for number in range(first, last + 1)] if first else []


def _status(feed: Feed, address: str, patience_s: float) -> wire.Status:
    while (status := feed.status()) is None:
        _refuse_silence(feed, address, patience_s)
        feed.receive(_WAIT_S, _LIMIT)
    return status


def _range(status: wire.Status) -> tuple[int, int]:
    """First and last block of the ring; the first is 0 if it is empty."""
    ring = status.fields["ring"]
    return (int(ring["first"]), status.block_number) if ring["blocks"] else (0, 0)


def _refuse_silence(feed: Feed, address: str, patience_s: float) -> None:
    if feed.silent_for_s() >= patience_s:
        raise EngineUnreachable(f"The engine at {address} stopped answering while its ring was read: start this again.")
