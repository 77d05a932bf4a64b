"""A snapshot that comes in parts, put together: one part is asked for at a time, and again when nobody answers."""

from collections.abc import Callable

from matching.transport.wire import SnapshotChunk

_ASK_AGAIN_S = 0.5


class Download:
    """`ask` sends a request for (number, offset) and waits for nothing; `clock` gives seconds that never run back."""

    def __init__(self, ask: Callable[[int, int], object], clock: Callable[[], float]) -> None:
        self._ask = ask
        self._clock = clock
        self._data = bytearray()
        self.number = 0
        """Of the block after which it was made, 0 before the first part came."""
        self.whole: bytes | None = None
        self._pending_since_s: float | None = None  # no part has come since
        self.pending_s = 0.0
        """For how long the sender has said that the snapshot is still being made, and sent nothing of one."""
        self.ask()

    def ask(self) -> None:
        self._asked_at_s = self._clock()
        self._ask(self.number, len(self._data))

    def ask_if_silent(self) -> None:
        if self.whole is None and self._clock() - self._asked_at_s >= _ASK_AGAIN_S:
            self.ask()

    def note_pending(self) -> None:
        """It is being made: the sender lives, and is asked again."""
        now_s = self._clock()
        if self._pending_since_s is None:
            self._pending_since_s = now_s
        self.pending_s = now_s - self._pending_since_s

    def take(self, chunk: SnapshotChunk) -> None:
        """A part that is not the next one is passed over; one of another snapshot begins anew."""
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
