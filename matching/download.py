"""A snapshot that comes in parts, put together: one part is asked for at a time, and again when nobody answers."""

from collections.abc import Callable

from matching.wire import SnapshotChunk

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
        self.ask()

    def ask(self) -> None:
        self._asked_at_s = self._clock()
        self._ask(self.number, len(self._data))

    def ask_if_silent(self) -> None:
        if self.whole is None and self._clock() - self._asked_at_s >= _ASK_AGAIN_S:
            self.ask()

    def take(self, chunk: SnapshotChunk) -> None:
        """A part that is not the next one is passed over; one of another snapshot begins anew."""
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
