"""Downloads a snapshot in parts: requests one part at a time, again if there is no answer, and joins them."""

from collections.abc import Callable

from matching.transport.wire import SnapshotChunk

_RETRY_S = 0.5


class Download:
    """`ask` sends a request for (number, offset) without waiting; `clock` returns monotonic seconds."""

    def __init__(self, ask: Callable[[int, int], object], clock: Callable[[], float]) -> None:
        self._ask = ask
        self._clock = clock
        self._data = bytearray()
        self.number = 0
        """Number of the block after which the snapshot was made; 0 before the first part has arrived."""
        self.whole: bytes | None = None
        self._pending_since_s: float | None = None  # None after each part
        self.pending_s = 0.0
        """How long the sender has only answered that the snapshot is still being made."""
        self.ask()

    def ask(self) -> None:
        self._asked_at_s = self._clock()
        self._ask(self.number, len(self._data))

    def ask_if_silent(self) -> None:
        if self.whole is None and self._clock() - self._asked_at_s >= _RETRY_S:
            self.ask()

    def note_pending(self) -> None:
        """Notes the answer that the snapshot is still being made; the part is requested again later."""
        now_s = self._clock()
        if self._pending_since_s is None:
            self._pending_since_s = now_s
        self.pending_s = now_s - self._pending_since_s

    def take(self, chunk: SnapshotChunk) -> None:
        """Adds a part. Ignores one that is not the next one; a part of another snapshot restarts the download."""
        self._pending_since_s, self.pending_s = None, 0.0
        if chunk.number != self.number:
            self.number = chunk.number
            self._data.clear()
        if self.whole is not None or chunk.offset != len(self._data):
            return
        self._data += chunk.data
        if len(self._data) == chunk.total_bytes:
            self.whole = bytes(self._data)
        else:
            self.ask()
