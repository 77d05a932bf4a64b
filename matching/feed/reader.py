"""Reads an engine's block stream: new blocks as they are published, and retransmitted ones.

`receive` may skip and repeat blocks; the caller knows which number it needs next. A feed can switch to another engine,
and then ignores what engines of older epochs publish. Not thread-safe.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Self

import structlog

from matching.client.leaders import reachable
from matching.core.blocks import Block
from matching.core.errors import BadMessage, EngineUnreachable
from matching.feed.download import Download
from matching.feed.silence import Silence
from matching.transport import wire
from matching.transport.network import ZmqNetwork
from matching.transport.parts import joined
from matching.transport.snapshot_chunks import decode_snapshot_chunk
from matching.transport.sockets import Kind, Limits, Network, Socket, Undelivered

log = structlog.get_logger(__name__)

_RETRY_S = 0.5
_MAX_RETRY_S = 8.0
"""The interval between requests grows up to this, because each one makes a slow network carry the block once more."""
_PROBE_AFTER_S = 1.0
"""After this silence, five heartbeats, the engine is asked for its status."""
_STATUS_FRAME_BYTES = 1 << 20
_CORRELATION = b"status"
_DISCOVERY_LIMITS = Limits(frame_bytes=_STATUS_FRAME_BYTES, receive_queue=16, send_queue=16)


class Feed:
    """Subscribes to the blocks of one engine at `block_address` and requests missing ones at `retransmit_address`."""

    def __init__(
        self,
        block_address: str,
        retransmit_address: str,
        *,
        make_network: Callable[[], Network] = ZmqNetwork,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` returns monotonic seconds. Raises AddressUnusable."""
        self._clock = clock
        self._network = make_network()
        self._confirmed: wire.Confirmation | None = None
        self._logged_refusal = ""  # the last one that was logged
        self._epoch = 0  # the highest epoch received
        self._oldest_epoch = 0  # messages of older epochs are ignored
        self._begin(block_address, retransmit_address)

    def _begin(self, block_address: str, retransmit_address: str) -> None:
        self._block_address = block_address
        self._blocks = self._network.connect(Kind.SUB, block_address, wire.READER_LIMITS)
        self._retransmission = self._network.connect(Kind.DEALER, retransmit_address, wire.READER_LIMITS)
        self._status: wire.Status | None = None
        self._newest = 0
        self._wanted: tuple[int, int] | None = None
        self._requested_at_s = 0.0
        self._retry_s = _RETRY_S
        self._missing: tuple[int, int] | None = None
        self._refusal: wire.Refused | None = None
        self._download: Download | None = None
        self._silence = Silence(self._clock)
        self._announced_at_s = self._clock() - wire.FOLLOWING_S
        self._probed_at_s = self._clock()

    @classmethod
    def discover(
        cls,
        address: str,
        timeout_s: float,
        *,
        make_network: Callable[[], Network] = ZmqNetwork,
        clock: Callable[[], float] = time.monotonic,
    ) -> Self:
        """A feed of the engine that has `address` as its command, block or retransmission socket.

        Raises EngineUnreachable if no engine answers within `timeout_s`; AddressUnusable.
        """
        network = make_network()
        try:
            addresses = _ask_addresses(network, clock, address, timeout_s)
        finally:
            network.close()
        return cls(addresses.blocks, addresses.retransmission, make_network=make_network, clock=clock)

    @property
    def sockets(self) -> tuple[Socket, Socket]:
        """The two sockets, for a loop that waits on several sockets: call `receive` when one of these is readable."""
        return self._blocks, self._retransmission

    def move(self, addresses: wire.Addresses) -> None:
        """Switches to another engine and discards the state of the old one. Confirmations are sent to the new one too.

        From now on heartbeats and new blocks of an epoch below the highest received are ignored. Raises
        AddressUnusable; the feed is then unusable until it has moved to another engine.
        """
        self._blocks.close()
        self._retransmission.close()
        self._oldest_epoch = self._epoch
        self._begin(addresses.blocks, addresses.retransmission)

    def silent_for_s(self) -> float:
        """Seconds in which this feed listened and received nothing, up to the last `receive`.

        The engine is asked for its status before this gets long, because a broken connection loses heartbeats.
        """
        return self._silence.for_s

    def receive(self, timeout_s: float, limit: int) -> list[Block]:
        """Up to `limit` blocks that have arrived, in order of arrival; waits at most `timeout_s` for the first.

        Raises BadBlock for bytes that are not a block. The caller checks the hash (`Block.verify`).
        """
        deadline = self._clock() + timeout_s
        found: list[Block] = []
        while True:
            self._request_again_if_silent()
            self._probe_if_silent()
            if self._download:
                self._download.request_if_silent()
            wait_s = 0.0 if found else min(_RETRY_S, deadline - self._clock())
            is_something_there = self._network.wait(self.sockets, max(0.0, wait_s))
            if is_something_there:
                for socket in (self._retransmission, self._blocks):
                    while len(found) < limit and self._read(socket, found):
                        pass
            self._silence.note_poll()
            if len(found) >= limit or (not is_something_there and (found or self._clock() >= deadline)):
                return found

    def request(self, first: int, last: int) -> None:
        """Requests retransmission of blocks `first` … `last`: `receive` returns them, or `missing` is set.

        The request is repeated automatically until the last block has arrived. A later call replaces it.
        """
        self._wanted = (first, last)
        self._retry_s = _RETRY_S
        self._missing = None
        self._send_request()

    def missing(self) -> tuple[int, int] | None:
        """(first requested, oldest held or 0) if the engine no longer holds what was requested last."""
        return self._missing

    def newest(self) -> int:
        """Number of the engine's newest block, as far as it was received or reported; 0 at first."""
        return self._newest

    def status(self) -> wire.Status | None:
        """The engine's newest heartbeat."""
        return self._status

    def leader(self) -> str:
        """Command address of the engine; "" before its first heartbeat."""
        status = self._status
        return reachable(status.addresses, self._block_address).commands if status else ""

    def announce(self, addresses: wire.Addresses) -> None:
        """Announces a follower at `addresses` to the engine, at most once in FOLLOWING_S."""
        now_s = self._clock()
        if now_s - self._announced_at_s >= wire.FOLLOWING_S:
            self._announced_at_s = now_s
            with suppress(Undelivered):
                self._retransmission.send(wire.FOLLOWING, wire.encode_addresses(addresses))

    def download(self) -> Download:
        """The download of the engine's newest snapshot, begun if there is none. `receive` reads its chunks."""
        if self._download is None:
            self._missing = None
            self._download = Download(lambda number, at: self._send(wire.SNAPSHOT, number, at), self._clock)
        return self._download

    def end_download(self) -> None:
        self._download = None

    def confirm(self, confirmation: wire.Confirmation) -> None:
        """Confirms to the engine that blocks are durable; repeated if its heartbeat shows less."""
        if self._confirmed is None or confirmation.number >= self._confirmed.number:
            self._confirmed = confirmation
        self._send_confirmation(confirmation)

    def refusal(self) -> wire.Refused | None:
        """The engine's last refusal of a confirmation; None: it has refused none."""
        return self._refusal

    def close(self) -> None:
        # The last confirmation may still be in the queue.
        self._retransmission.close(linger_ms=200)
        self._blocks.close()
        self._network.close()

    def _read(self, socket: Socket, found: list[Block]) -> bool:
        """Reads one message; False if there is none."""
        frames = socket.receive()
        if frames is None:
            return False
        if frames[0] == wire.BLOCK and len(frames) > 1:
            self._add_block(Block.decode(joined(frames[1:])), found, is_new=socket is self._blocks)
            return True
        with suppress(BadMessage):  # an engine of another version: decoding its blocks gives the error
            self._handle_message(frames)
        return True

    def _add_block(self, block: Block, found: list[Block], *, is_new: bool) -> None:
        """Adds a block. A retransmitted one may be of any epoch; a new one of an older epoch is ignored."""
        if is_new and block.epoch < self._oldest_epoch:
            return
        self._silence.note_message()
        found.append(block)
        if is_new:
            self._newest = block.number
        else:
            self._advance_request(block.number)

    def _handle_message(self, frames: list[bytes]) -> None:
        """Handles a message that is not a block. Raises BadMessage."""
        if frames[0] == wire.STATUS and len(frames) in (2, 3):  # a heartbeat, or the answer to a question
            self._handle_status(wire.decode_status(frames[1]))
        elif frames[0] == wire.SNAPSHOT and self._download:
            self._silence.note_message()
            self._download.add(decode_snapshot_chunk(frames[1:]))
        elif frames[0] == wire.PENDING and self._download:
            self._silence.note_message()
            self._download.note_pending()
        elif frames[0] == wire.REFUSED and len(frames) == 2:
            self._note_refusal(wire.decode_refused(frames[1]))
        elif frames[0] == wire.SENT:
            wire.decode_numbers(frames[1:], 1)
            self._send_request()  # requests the next part, and what was lost of this one
        elif frames[0] == wire.MISSING:
            first, oldest = wire.decode_numbers(frames[1:], 2)
            if first == 0 and self._download:
                self._missing, self._download = (first, oldest), None
            elif self._wanted and self._wanted[0] == first:
                self._missing, self._wanted = (first, oldest), None

    def _note_refusal(self, refused: wire.Refused) -> None:
        """Logs each reason once. A refusal does not end the engine's silence."""
        if refused.code in (wire.WRONG_STORE, wire.WRONG_BLOCK):
            self._refusal = refused
        if refused.message != self._logged_refusal:
            self._logged_refusal = refused.message
            log.warning("feed.refused", code=refused.code, reason=refused.message)

    def _handle_status(self, status: wire.Status) -> None:
        if status.epoch < self._oldest_epoch:
            return
        self._silence.note_message()
        self._epoch = max(self._epoch, status.epoch)
        self._status = status
        self._newest = status.block_number
        if self._confirmed is not None and status.confirmed < self._confirmed.number <= self._newest:
            self._send_confirmation(self._confirmed)

    def _advance_request(self, number: int) -> None:
        """Advances the request if this is its first block. Ignores a block whose predecessor has not arrived."""
        if self._wanted and number == self._wanted[0]:
            self._requested_at_s, self._retry_s = self._clock(), _RETRY_S
            first, last = number + 1, self._wanted[1]
            self._wanted = (first, last) if first <= last else None

    def _request_again_if_silent(self) -> None:
        if self._wanted and self._clock() - self._requested_at_s >= self._retry_s:
            self._retry_s = min(2 * self._retry_s, _MAX_RETRY_S)
            self._send_request()

    def _probe_if_silent(self) -> None:
        """Asks a silent engine for its status over the other socket before it counts as dead."""
        if self._silence.for_s >= _PROBE_AFTER_S and self._clock() - self._probed_at_s >= _RETRY_S:
            self._probed_at_s = self._clock()
            with suppress(Undelivered):
                self._retransmission.send(wire.STATUS, _CORRELATION)

    def _send_request(self) -> None:
        if self._wanted:
            self._requested_at_s = self._clock()
            self._send(wire.BLOCKS, *self._wanted)

    def _send_confirmation(self, confirmation: wire.Confirmation) -> None:
        with suppress(Undelivered):  # not connected: sent again when a heartbeat shows less
            self._retransmission.send(wire.CONFIRM, wire.encode_confirmation(confirmation))

    def _send(self, verb: bytes, *numbers: int) -> None:
        with suppress(Undelivered):  # not connected: sent again later
            self._retransmission.send(verb, *wire.encode_numbers(*numbers))


def _ask_addresses(network: Network, clock: Callable[[], float], address: str, timeout_s: float) -> wire.Addresses:
    """Subscribes to heartbeats and asks for a status at the same time: `address` may be a socket of either kind."""
    subscriber = network.connect(Kind.SUB, address, _DISCOVERY_LIMITS, wire.STATUS)
    dealer = network.connect(Kind.DEALER, address, _DISCOVERY_LIMITS)
    try:
        with suppress(Undelivered):  # a socket of blocks accepts no dealer; its heartbeats answer
            dealer.send(wire.STATUS, _CORRELATION)
        deadline = clock() + timeout_s
        while (left_s := deadline - clock()) > 0:
            network.wait((subscriber, dealer), left_s)
            for socket in (subscriber, dealer):
                frames = socket.receive()
                if frames and frames[0] == wire.STATUS and len(frames) > 1:
                    with suppress(BadMessage):
                        return reachable(wire.decode_status(frames[1]).addresses, address)
        problem = dealer.problem
    finally:
        subscriber.close()
        dealer.close()
    raise EngineUnreachable(problem or f"No engine answers at {address}: start it, or name another address.")
