"""The reader's side of the block stream: blocks as they come, and those that are asked for again.

What `receive` gives may skip and may repeat; the reader knows which number it needs next. A feed can go over to another
engine, and then passes over what one of an older epoch publishes. Not thread-safe.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from matching.client.leaders import reachable
from matching.core.blocks import Block
from matching.core.errors import BadMessage, EngineUnreachable
from matching.feed.download import Download
from matching.feed.silence import Silence
from matching.transport import wire
from matching.transport.sockets import Kind, Limits, Network, Socket, Undelivered, ZmqNetwork

_ASK_AGAIN_S = 0.5
_LONGEST_PATIENCE_S = 8.0
"""What was asked for may be a large block on its way over a slow network, and is sent once more each time."""
_DOUBT_S = 1.0
"""An engine that is silent for so long, five heartbeats, is asked whether it lives."""
_STATUS_FRAME_BYTES = 1 << 20
_CORRELATION = b"status"
_DISCOVERY_LIMITS = Limits(frame_bytes=_STATUS_FRAME_BYTES, receive_queue=16, send_queue=16)


class Feed:
    """Hears one engine's blocks at `block_address` and asks `retransmit_address` for what is missing."""

    def __init__(
        self,
        block_address: str,
        retransmit_address: str,
        *,
        make_network: Callable[[], Network] = ZmqNetwork,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` gives seconds that never run back.

        Raises AddressUnusable.
        """
        self._clock = clock
        self._network = make_network()
        self._confirmed = 0
        self._epoch = 0  # the highest that was heard of
        self._oldest_epoch = 0  # that of an engine which is listened to
        self._begin(block_address, retransmit_address)

    def _begin(self, block_address: str, retransmit_address: str) -> None:
        self._block_address = block_address
        self._blocks = self._network.connect(Kind.SUB, block_address, wire.READER_LIMITS)
        self._retransmission = self._network.connect(Kind.DEALER, retransmit_address, wire.READER_LIMITS)
        self._status: wire.Status | None = None
        self._newest = 0
        self._wanted: tuple[int, int] | None = None
        self._asked_at_s = 0.0
        self._patience_s = _ASK_AGAIN_S
        self._missing: tuple[int, int] | None = None
        self._download: Download | None = None
        self._silence = Silence(self._clock)
        self._announced_at_s = self._clock() - wire.FOLLOWING_S
        self._doubted_at_s = self._clock()

    @classmethod
    def discover(
        cls,
        address: str,
        timeout_s: float,
        *,
        make_network: Callable[[], Network] = ZmqNetwork,
        clock: Callable[[], float] = time.monotonic,
    ) -> Self:
        """A feed of the engine of which `address` is one: command, block or retransmission socket.

        Raises EngineUnreachable when none answers within `timeout_s`, AddressUnusable when it is no address.
        """
        network = make_network()
        try:
            addresses = _ask_addresses(network, clock, address, timeout_s)
        finally:
            network.close()
        return cls(addresses.blocks, addresses.retransmission, make_network=make_network, clock=clock)

    @property
    def sockets(self) -> tuple[Socket, Socket]:
        """For a loop that waits on more than this feed: with something to read here, `receive` has something to do."""
        return self._blocks, self._retransmission

    def move(self, addresses: wire.Addresses) -> None:
        """Goes over to another engine; what is confirmed is told to it too. What this one said is forgotten.

        From now on heartbeats and new blocks of an epoch below the highest that was heard of are passed over. Raises
        AddressUnusable, and is of no use then until it has moved elsewhere.
        """
        self._blocks.close()
        self._retransmission.close()
        self._oldest_epoch = self._epoch
        self._begin(addresses.blocks, addresses.retransmission)

    def silent_for_s(self) -> float:
        """Seconds of listening in which nothing came of the engine, up to the last `receive`.

        Before it is long the engine is asked for its status too: heartbeats may be lost with a connection.
        """
        return self._silence.for_s

    def receive(self, timeout_s: float, limit: int) -> list[Block]:
        """Up to `limit` blocks that are there, in order of arrival; waits at most `timeout_s` for the first.

        Raises BadBlock for bytes that are no block. The hash is the reader's to check (`Block.verify`).
        """
        deadline = self._clock() + timeout_s
        found: list[Block] = []
        while True:
            self._ask_again_if_silent()
            self._ask_whether_it_lives()
            if self._download:
                self._download.ask_if_silent()
            wait_s = 0.0 if found else min(_ASK_AGAIN_S, deadline - self._clock())
            is_something_there = self._network.wait(self.sockets, max(0.0, wait_s))
            if is_something_there:
                for socket in (self._retransmission, self._blocks):
                    while len(found) < limit and self._read(socket, found):
                        pass
            self._silence.look()
            if len(found) >= limit or (not is_something_there and (found or self._clock() >= deadline)):
                return found

    def request(self, first: int, last: int) -> None:
        """Asks for the blocks `first` … `last` again; `receive` gives them, or `missing` tells that it will not.

        Asked for once more by itself until the last one came, so that one call is enough; a later call replaces it.
        """
        self._wanted = (first, last)
        self._patience_s = _ASK_AGAIN_S
        self._missing = None
        self._ask()

    def missing(self) -> tuple[int, int] | None:
        """(first wanted, oldest held or 0): the engine does not have what was requested last."""
        return self._missing

    def newest(self) -> int:
        """Number of the newest block that the engine told of, 0 before it told any."""
        return self._newest

    def status(self) -> wire.Status | None:
        """The engine's newest heartbeat."""
        return self._status

    def leader(self) -> str:
        """Command address of the engine, "" before it has said it."""
        status = self._status
        return reachable(status.addresses, self._block_address).commands if status else ""

    def announce(self, addresses: wire.Addresses) -> None:
        """Tells the engine, once in FOLLOWING_S, that a follower of it listens at `addresses`."""
        now_s = self._clock()
        if now_s - self._announced_at_s >= wire.FOLLOWING_S:
            self._announced_at_s = now_s
            with suppress(Undelivered):
                self._retransmission.send(wire.FOLLOWING, wire.encode_addresses(addresses))

    def download(self) -> Download:
        """The engine's newest snapshot, which comes with what `receive` reads; begun if none is under way."""
        if self._download is None:
            self._missing = None
            self._download = Download(lambda number, at: self._send(wire.SNAPSHOT, number, at), self._clock)
        return self._download

    def end_download(self) -> None:
        self._download = None

    def confirm(self, number: int) -> None:
        """Tells the engine that everything up to block `number` is durable; told again should the engine forget."""
        self._confirmed = max(self._confirmed, number)
        self._send(wire.CONFIRM, number)

    def close(self) -> None:
        # A last confirmation may still be under way.
        self._retransmission.close(linger_ms=200)
        self._blocks.close()
        self._network.close()

    def _read(self, socket: Socket, found: list[Block]) -> bool:
        """Takes one message; False when there is none."""
        frames = socket.receive()
        if frames is None:
            return False
        if frames[0] == wire.BLOCK and len(frames) > 1:
            self._take_block(Block.decode(wire.joined(frames[1:])), found, is_new=socket is self._blocks)
            return True
        with suppress(BadMessage):  # another version's engine; its blocks will tell
            self._note(frames)
        return True

    def _take_block(self, block: Block, found: list[Block], *, is_new: bool) -> None:
        """A block that was asked for may be of any epoch, a new one is of its leader's."""
        if is_new and block.epoch < self._oldest_epoch:
            return
        self._silence.hear()
        found.append(block)
        if is_new:
            self._newest = block.number
        else:
            self._heard_of(block.number)

    def _note(self, frames: list[bytes]) -> None:
        """What an engine says that is no block. Raises BadMessage."""
        if frames[0] == wire.STATUS and len(frames) in (2, 3):  # a heartbeat, or the answer to a question
            self._note_status(wire.decode_status(frames[1]))
        elif frames[0] == wire.SNAPSHOT and self._download:
            self._silence.hear()
            self._download.take(wire.decode_snapshot_chunk(frames[1:]))
        elif frames[0] == wire.PENDING and self._download:
            self._silence.hear()
            self._download.note_pending()
        elif frames[0] == wire.SENT:
            wire.decode_numbers(frames[1:], 1)
            self._ask()  # it sends a part at a time; and what was lost of it is asked for again
        elif frames[0] == wire.MISSING:
            first, oldest = wire.decode_numbers(frames[1:], 2)
            if first == 0 and self._download:
                self._missing, self._download = (first, oldest), None
            elif self._wanted and self._wanted[0] == first:
                self._missing, self._wanted = (first, oldest), None

    def _note_status(self, status: wire.Status) -> None:
        if status.epoch < self._oldest_epoch:
            return
        self._silence.hear()
        self._epoch = max(self._epoch, status.epoch)
        self._status = status
        self._newest = status.block_number
        if status.confirmed < min(self._confirmed, self._newest):
            self._send(wire.CONFIRM, self._confirmed)

    def _heard_of(self, number: int) -> None:
        """A block that was asked for came. One that overtook another, or whose predecessor was lost, is no news."""
        if self._wanted and number == self._wanted[0]:
            self._asked_at_s, self._patience_s = self._clock(), _ASK_AGAIN_S
            first, last = number + 1, self._wanted[1]
            self._wanted = (first, last) if first <= last else None

    def _ask_again_if_silent(self) -> None:
        if self._wanted and self._clock() - self._asked_at_s >= self._patience_s:
            self._patience_s = min(2 * self._patience_s, _LONGEST_PATIENCE_S)
            self._ask()

    def _ask_whether_it_lives(self) -> None:
        """A second witness before an engine is taken for dead: its other socket."""
        if self._silence.for_s >= _DOUBT_S and self._clock() - self._doubted_at_s >= _ASK_AGAIN_S:
            self._doubted_at_s = self._clock()
            with suppress(Undelivered):
                self._retransmission.send(wire.STATUS, _CORRELATION)

    def _ask(self) -> None:
        if self._wanted:
            self._asked_at_s = self._clock()
            self._send(wire.BLOCKS, *self._wanted)

    def _send(self, verb: bytes, *numbers: int) -> None:
        with suppress(Undelivered):  # nobody is there: asked again, or told again, when somebody is
            self._retransmission.send(verb, *wire.encode_numbers(*numbers))


def _ask_addresses(network: Network, clock: Callable[[], float], address: str, timeout_s: float) -> wire.Addresses:
    """Listens for a heartbeat and asks for a status at once: one of the two is the right language."""
    heard = network.connect(Kind.SUB, address, _DISCOVERY_LIMITS, wire.STATUS)
    asked = network.connect(Kind.DEALER, address, _DISCOVERY_LIMITS)
    try:
        asked.send(wire.STATUS, _CORRELATION)
        deadline = clock() + timeout_s
        while (left_s := deadline - clock()) > 0:
            network.wait((heard, asked), left_s)
            for socket in (heard, asked):
                frames = socket.receive()
                if frames and frames[0] == wire.STATUS and len(frames) > 1:
                    with suppress(BadMessage):
                        return reachable(wire.decode_status(frames[1]).addresses, address)
    finally:
        heard.close()
        asked.close()
    raise EngineUnreachable(f"No engine answers at {address}: start it, or name another address.")
