"""Reads an engine's blocks in order, from the first one or from a snapshot on, and finds the leader when it changes.

It runs in a thread of its own, without signals, settings or an event loop: its edges are passed in. Blocks come in
order and without gaps. Whoever applies them checks that they continue the chain, and calls `begin_again` if not.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import structlog

from matching.core import layout, snapshots
from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.core.errors import BadBlock, BadFile, EngineUnreachable
from matching.feed.download import Download
from matching.feed.reader import Feed
from matching.transport import wire
from matching.transport.sockets import AddressUnusable

log = structlog.get_logger(__name__)

_WAIT_S = 0.05
_BLOCKS_A_TURN = 256
_MAX_AHEAD = 4096
_SILENT_S = 2.0
"""After this silence the leader is looked for."""
_SEARCH_S = 1.0


class CannotBegin(Exception):
    """The engine has neither its first block nor a snapshot that this program reads: the text says what to do."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """The model begins with this state."""

    engine: Engine


@dataclass(frozen=True, slots=True)
class Progress:
    """Blocks that follow what was delivered before, then the newest heartbeat, if one has come since."""

    blocks: list[Block]
    status: wire.Status | None


Deliver = Callable[[Beginning | Progress], None]
"""Called in the reading thread; may wait, so that the reader is no faster than who applies."""


class FindLeader(Protocol):
    """Finds the engine that leads now."""

    def __call__(self, status: wire.Status | None) -> str | None:
        """Its command address; None: not known, or as before. `status` is the last one of the engine that was read."""


class Reader:
    """Begins with the engine at the command address `address`. `connect` makes a feed of the engine at an address. It
    raises EngineUnreachable and AddressUnusable."""

    def __init__(
        self,
        connect: Callable[[str], Feed],
        find_leader: FindLeader,
        deliver: Deliver,
        *,
        address: str,
        clock: Callable[[], float],
    ) -> None:
        """Raises AddressUnusable."""
        self._connect = connect
        self._find_leader = find_leader
        self._deliver = deliver
        self._clock = clock
        self._feed = connect(address)
        self._address = address
        self._searched_at_s = clock()
        self._must_begin = threading.Event()
        self._reset()
        deliver(Beginning(Engine()))

    def _reset(self) -> None:
        self._ahead: dict[int, Block] = {}
        self._requested_up_to = 0
        self._download: Download | None = None
        self._last = 0  # number of the last block that was delivered
        self._seen: wire.Status | None = None

    def begin_again(self) -> None:
        """Begins anew, because the chain does not continue what was applied. Any thread may call it."""
        self._must_begin.set()

    def run(self, stop: Callable[[], bool]) -> None:
        """Reads until `stop()`. Raises CannotBegin, BadBlock."""
        try:
            while not stop():
                self.turn()
        finally:
            self._feed.close()

    def turn(self) -> None:
        """Waits shortly for messages and delivers what has come."""
        if self._must_begin.is_set():
            self._must_begin.clear()
            self._feed.end_download()
            self._reset()
            self._deliver(Beginning(Engine()))
        for block in self._feed.receive(_WAIT_S, _BLOCKS_A_TURN):
            self._keep(block)
        self._deliver_progress()
        self._continue_from_snapshot()
        self._request_missing()
        self._follow_leader()

    def _keep(self, block: Block) -> None:
        kept = self._ahead.get(block.number)
        after = max(self._last, self._download.number if self._download else 0)
        if self._last < block.number <= after + _MAX_AHEAD and (kept is None or kept.epoch <= block.epoch):
            self._ahead[block.number] = block

    def _deliver_progress(self) -> None:
        blocks = []
        while self._last + 1 in self._ahead and self._download is None:
            self._last += 1
            blocks.append(self._ahead.pop(self._last))
        status = self._feed.status()
        is_new = status is not None and status is not self._seen
        if blocks or is_new:
            self._seen = status
            self._deliver(Progress(blocks, status if is_new else None))

    def _request_missing(self) -> None:
        if self._download is not None:
            return
        following, newest, missing = self._last + 1, self._feed.newest(), self._feed.missing()
        if missing is not None and missing[0] == following <= newest:
            self._download = self._feed.download()
            return
        self._requested_up_to = min(self._requested_up_to, newest)
        upto = min(self._ahead, default=newest + 1) - 1
        if following <= upto and self._requested_up_to < following:
            self._feed.request(following, upto)
            self._requested_up_to = upto

    # Snapshots

    def _continue_from_snapshot(self) -> None:
        if self._download is None:
            return
        missing = self._feed.missing()
        if missing is not None and missing[0] == 0:
            raise CannotBegin(
                "The engine makes no snapshots and no longer has its first block: set ENGINE_SNAPSHOT_BLOCKS of the "
                "engine to a number above 0."
            )
        if self._download.whole is not None:
            engine = _decoded(self._download.whole)
            self._download = None
            self._feed.end_download()
            self._requested_up_to = 0
            self._last = engine.block_number
            self._ahead = {number: block for number, block in self._ahead.items() if number > self._last}
            log.info("gateway.snapshot_loaded", block=engine.block_number)
            self._deliver(Beginning(engine))

    # The leader

    def _follow_leader(self) -> None:
        now_s = self._clock()
        if now_s - self._searched_at_s < _SEARCH_S:
            return
        status = self._feed.status()
        self._searched_at_s = now_s
        leader = self._find_leader(status) if self._feed.silent_for_s() >= _SILENT_S else None
        if leader is None or leader == self._address:
            return
        with suppress(EngineUnreachable, AddressUnusable, BadBlock):  # it is looked for again
            feed = self._connect(leader)
            self._feed.close()
            self._feed, self._address = feed, leader
            self._requested_up_to, self._download, self._seen = 0, None, None
            log.info("gateway.leader_changed", address=leader)


def _decoded(snapshot: bytes) -> Engine:
    """Raises CannotBegin."""
    try:
        engine = snapshots.decode(snapshot)
    except BadFile as error:
        raise CannotBegin(f"The engine's newest snapshot cannot be used. {error}") from error
    if engine.layout_version != layout.LAYOUT_VERSION:
        raise CannotBegin(
            f"The engine's newest snapshot has record layout {engine.layout_version}, this program reads layout "
            f"{layout.LAYOUT_VERSION}: run manage.py migrate_layout and start the engine with this version."
        )
    return engine
