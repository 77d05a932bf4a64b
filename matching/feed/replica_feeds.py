"""Reads the block streams of all replicas of one log as a single feed.

All replicas publish the same blocks, so a replica that is down leaves no gap. Each block names the replica that sent it
(`Block.origin`); the caller compares the copies and calls `refuse` for a replica that differs. A replica is found
through its command address. A silent one is asked again, because it may have restarted at other addresses.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import structlog

from matching.client.leaders import reachable
from matching.core.blocks import Block
from matching.core.errors import BadBlock, BadMessage
from matching.feed.reader import Feed
from matching.feed.silence import Silence
from matching.transport import wire
from matching.transport.network import ZmqNetwork
from matching.transport.sockets import AddressUnusable, Kind, Limits, Network, Undelivered

log = structlog.get_logger(__name__)

_QUERY_INTERVAL_S = 0.5
_SILENT_S = 2.0
_KEPT_CONFIRMATIONS = 1024
"""For replicas that lag. One that lags by more reads from the store which blocks are durable."""
_CORRELATION = b"replica"
_LIMITS = Limits(frame_bytes=1 << 20, receive_queue=16, send_queue=16)


class _Member:
    """One replica. `feed` is None until it is found, and after it was refused."""

    def __init__(self, address: str, network: Network) -> None:
        """Raises AddressUnusable."""
        self.address = address
        self.socket = network.connect(Kind.DEALER, address, _LIMITS)
        self.feed: Feed | None = None
        self.addresses: wire.Addresses | None = None
        self.instance: object = None  # of the process that was found last
        self.reason = ""  # why that process is refused, "" if it is not
        self.reconfirmed: wire.Status | None = None  # the last status checked by `_repeat_confirmation`
        self.is_lacking = False  # it no longer has the blocks that were requested last

    @property
    def silent_for_s(self) -> float:
        return self.feed.silent_for_s() if self.feed is not None else float("inf")

    @property
    def is_reachable(self) -> bool:
        return self.silent_for_s < _SILENT_S

    @property
    def newest(self) -> int:
        """Number of its newest block; 0 while it is silent."""
        return self.feed.newest() if self.feed is not None and self.is_reachable else 0

    def status(self) -> wire.Status | None:
        return self.feed.status() if self.feed is not None else None

    def disconnect(self) -> None:
        if self.feed is not None:
            self.feed.close()
            self.feed = None


class ReplicaFeeds:
    """Implements settlement's feed contract over the replicas at these command addresses. Not thread-safe."""

    def __init__(
        self,
        addresses: Iterable[str],
        *,
        make_network: Callable[[], Network] = ZmqNetwork,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` returns monotonic seconds. Raises AddressUnusable."""
        self._make_network = make_network
        self._clock = clock
        self._network = make_network()
        self._members = [_Member(address, self._network) for address in addresses]
        self._silence = Silence(clock)  # used while no replica is found
        self._next_query_s = clock()
        self._confirmed: deque[wire.Confirmation] = deque(maxlen=_KEPT_CONFIRMATIONS)  # by rising number
        self._refusal: wire.Refused | None = None
        self._wanted: tuple[int, int] | None = None
        self._requested_from: _Member | None = None
        self._turn = 0

    # Settlement's feed contract

    def receive(self, timeout_s: float, limit: int) -> list[Block]:
        """Like `Feed.receive`, but refuses a replica that sends an invalid block, if there is another replica."""
        deadline_s = self._clock() + timeout_s
        while True:
            now_s = self._clock()
            self._find_members(now_s)
            found = self._read(limit)
            self._silence.note_poll()
            if found or now_s >= deadline_s:
                return found
            self._network.wait(self._sources(), max(0.0, min(deadline_s, self._next_query_s) - now_s))

    def request(self, first: int, last: int) -> None:
        self._wanted = (first, last)
        for member in self._members:
            member.is_lacking = False
        self._request_from_next()

    def missing(self) -> tuple[int, int] | None:
        """Like `Feed.missing`: set when no reachable replica that has reached the first block holds it any more."""
        member = self._requested_from
        answer = member.feed.missing() if member is not None and member.feed is not None else None
        if member is None or answer is None or self._wanted is None or answer[0] != self._wanted[0]:
            return None
        if answer[1] <= answer[0]:
            return None  # it has not made this block yet
        member.is_lacking = True
        self._request_from_next()
        return answer if self._requested_from is None else None

    def newest(self) -> int:
        epoch = max((status.epoch for member in self._members if (status := member.status())), default=0)
        return max((member.newest for member in self._members if _epoch(member) == epoch), default=0)

    def status(self) -> wire.Status | None:
        """Status of the most advanced replica: prefers reachable, then newest epoch, not halted, highest block."""
        known = [(member, status) for member in self._members if (status := member.status())]
        if not known:
            return None

        def rank(pair: tuple[_Member, wire.Status]) -> tuple[bool, int, bool, int]:
            member, status = pair
            return member.is_reachable, status.epoch, not status.fields.get("halted"), status.block_number

        return max(known, key=rank)[1]

    def silent_for_s(self) -> float:
        return min([self._silence.for_s, *(member.silent_for_s for member in self._members)])

    def move(self, addresses: wire.Addresses) -> None:
        """Reads from this engine too, unless it is a known replica. Any other engine leads in an epoch of its own."""
        if all(member.address != addresses.commands for member in self._members):
            self._members.append(_Member(addresses.commands, self._network))

    def confirm(self, confirmation: wire.Confirmation) -> None:
        if not self._confirmed or confirmation.number > self._confirmed[-1].number:
            self._confirmed.append(confirmation)
        for member in self._members:
            if member.feed is not None:
                member.feed.confirm(confirmation)

    def refusal(self) -> wire.Refused | None:
        """The last refusal of a confirmation, if its sender is the only replica.

        If there are others, a replica that refuses a confirmation is itself refused (`refuse`).
        """
        return self._refusal

    def close(self) -> None:
        for member in self._members:
            member.disconnect()
            member.socket.close()
        self._network.close()

    # Refused replicas

    def refuse(self, origin: str, reason: str) -> bool:
        """Stops reading from this replica until it is restarted. Returns False if there is no other to read from.

        `origin` is that of a block. Without another replica nothing changes.
        """
        if not any(member.address != origin and not member.reason for member in self._members):
            return False
        for member in self._members:
            if member.address == origin and not member.reason:
                log.error("feed.replica_refused", replica=origin, reason=reason)
                status = member.status()
                member.instance = _instance(status) if status is not None else member.instance
                member.reason = reason
                member.disconnect()
        if self._requested_from is not None and self._requested_from.feed is None:
            self._request_from_next()
        return True

    def refused(self) -> dict[str, str]:
        """Address → reason of each refused replica."""
        return {member.address: member.reason for member in self._members if member.reason}

    def addresses(self) -> Sequence[str]:
        return [member.address for member in self._members]

    # Reading

    def _read(self, limit: int) -> list[Block]:
        """Reads from each replica, starting with another one each time, so that a busy one does not delay others."""
        found: list[Block] = []
        self._turn += 1
        for offset in range(len(self._members)):
            member = self._members[(self._turn + offset) % len(self._members)]
            if member.feed is None or len(found) >= limit:
                continue
            try:
                blocks = member.feed.receive(0, limit - len(found))
            except BadBlock as error:
                if not self.refuse(member.address, str(error)):
                    raise
                continue
            for block in blocks:
                block.origin = member.address
            found += blocks
        return found

    def _sources(self) -> list[Any]:
        feeds = [member.feed for member in self._members if member.feed is not None]
        return [*(socket for feed in feeds for socket in feed.sockets), *(member.socket for member in self._members)]

    def _request_from_next(self) -> None:
        """Requests the wanted blocks from another replica than last time, if another one may hold them."""
        if self._wanted is None:
            return
        first, last = self._wanted
        able = [member for member in self._members if member.newest >= first and not member.is_lacking]
        others = [member for member in able if member is not self._requested_from]
        self._requested_from = next(iter(others or able), None)
        if self._requested_from is not None and self._requested_from.feed is not None:
            self._requested_from.feed.request(first, last)

    # Finding replicas

    def _find_members(self, now_s: float) -> None:
        for member in self._members:
            while (frames := member.socket.receive()) is not None:
                if frames[0] == wire.STATUS and len(frames) == 3:
                    with suppress(BadMessage):  # an engine of another version is not used
                        self._handle_status(member, wire.decode_status(frames[1]))
            self._repeat_confirmation(member)
            self._check_refusal(member)
        if now_s < self._next_query_s:
            return
        self._next_query_s = now_s + _QUERY_INTERVAL_S
        for member in self._members:
            if not member.is_reachable:
                with suppress(Undelivered):  # the queue is full, because the replica has been down for long
                    member.socket.send(wire.STATUS, _CORRELATION)

    def _handle_status(self, member: _Member, status: wire.Status) -> None:
        """Handles the status of a replica that was silent: it may be new, restarted, or at other addresses."""
        instance = _instance(status)
        if member.reason and instance == member.instance:
            return
        found = reachable(status.addresses, member.address)
        if member.feed is None or member.addresses != found:
            member.disconnect()
            with suppress(AddressUnusable):  # its status has a bad address; it is asked again
                member.feed = Feed(
                    found.blocks, found.retransmission, make_network=self._make_network, clock=self._clock
                )
                if self._confirmed:
                    member.feed.confirm(self._confirmed[-1])
        if member.reason:
            log.info("feed.replica_readmitted", replica=member.address)
        member.addresses, member.instance, member.reason = found, instance, ""

    def _repeat_confirmation(self, member: _Member) -> None:
        """Confirms to a slow replica the blocks that it has published by now; otherwise its ring would fill up."""
        status = member.status()
        if member.feed is None or status is None or status is member.reconfirmed:
            return
        member.reconfirmed = status
        reached = (one for one in reversed(self._confirmed) if one.number <= status.block_number)
        durable = next(reached, None)
        if durable is not None and status.confirmed < durable.number:
            member.feed.confirm(durable)

    def _check_refusal(self, member: _Member) -> None:
        refusal = member.feed.refusal() if member.feed is not None else None
        if refusal is not None and not self.refuse(member.address, refusal.message):
            self._refusal = refusal


def _instance(status: wire.Status) -> object:
    """Identifies a process: replicas report an instance, and a leader begins a new epoch at each start."""
    return status.fields.get("instance", status.epoch)


def _epoch(member: _Member) -> int:
    status = member.status()
    return status.epoch if status is not None else 0
