"""Decides which blocks are durable elsewhere: what settlement confirms, and what this engine has read in the store.

A confirmation needs a key of the role settlement or local (`matching.transport.permissions`); without keys, whoever
reaches the retransmission socket can send one. It counts if it names the identity of this engine's store and the hash
that the block has in this engine's ring. It only lets the ring drop blocks, because a confirmed block may be only in
settlement's spill. The write-ahead log is shortened by `stored`, what this engine has itself read back from the store
and compared with its own chain.
"""

from collections.abc import Callable

import structlog

from matching.core.hashes import hash_text
from matching.node.status import Counters
from matching.storage.history import StoredUpTo
from matching.storage.ring import Ring
from matching.transport import wire

log = structlog.get_logger(__name__)

_MAX_LOGGED = 64
_LOGGED_AGAIN_S = 3600.0
"""One kind of refusal of one peer is logged once in this time, and at most _MAX_LOGGED lines in all."""


class Confirmations:
    """Confirmations of one engine. `clock` returns monotonic seconds."""

    def __init__(self, ring: Ring, counters: Counters, clock: Callable[[], float]) -> None:
        self.stored = 0
        """The newest block that this engine has read in the store, and that is the same in its own chain."""
        self._ring = ring
        self._counters = counters
        self._clock = clock
        self._store = b""  # unknown
        self._read: StoredUpTo | None = None
        self._logged: set[tuple[bytes, str]] = set()
        self._logged_since_s = clock()

    def begin(self, store: bytes) -> None:
        """Accepts confirmations for the store with this identity. Until then all are ignored, as on a follower."""
        self._store = store

    def take(self, peer: bytes, told: wire.Confirmation) -> wire.Refused | None:
        """Marks blocks of the ring as confirmed; the refusal if the confirmation is of another store or chain.

        Blocks that the ring does not have are ignored: settlement repeats its confirmation when they are made.
        """
        if not self._store:
            return None
        own = self._ring.hash_of(told.number)
        if told.store != self._store:
            return self._refused(peer, told, wire.WRONG_STORE, "This engine uses another store.")
        if own is None:
            return None
        if own != told.hash:
            return self._refused(
                peer, told, wire.WRONG_BLOCK, f"Block {told.number} of this engine has hash {hash_text(own)}."
            )
        self._ring.confirm(told.number)
        return None

    def note_stored(self, read: StoredUpTo | None) -> None:
        """Takes what this engine has read in the store. A block that the ring no longer has cannot be compared."""
        if read is None or read is self._read:
            return
        self._read = read
        own = self._ring.hash_of(read.number)
        if own == read.hash:
            self._ring.confirm(read.number)
            self.stored = max(self.stored, read.number)
        elif own is not None and self._is_first(b"", "store"):
            log.error("engine.store_differs", block=read.number, own=hash_text(own), stored=hash_text(read.hash))

    def _refused(self, peer: bytes, told: wire.Confirmation, code: str, reason: str) -> wire.Refused:
        self._counters.refused_confirmations += 1
        if self._is_first(peer, code):
            log.warning("engine.confirmation_refused", peer=peer.hex(), code=code, block=told.number, reason=reason)
        return wire.Refused(code, reason)

    def _is_first(self, peer: bytes, kind: str) -> bool:
        """Whether to log this: the first of its peer and kind lately."""
        if self._clock() - self._logged_since_s >= _LOGGED_AGAIN_S:
            self._logged.clear()
            self._logged_since_s = self._clock()
        if len(self._logged) == _MAX_LOGGED or (peer, kind) in self._logged:
            return False
        self._logged.add((peer, kind))
        return True
