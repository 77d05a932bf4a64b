"""Downloads a snapshot in chunks: requests one chunk at a time, again if there is no answer, and joins them."""

from collections.abc import Callable

from matching.transport.snapshot_chunks import SnapshotChunk

_RETRY_S = 0.5


class Download:
    """The download of one snapshot, from the first request to the complete bytes."""

    def __init__(self, send_request: Callable[[int, int], object], clock: Callable[[], float]) -> None:
        """`send_request(number, offset)` must not wait; `clock` returns monotonic seconds."""
        self._send_request = send_request
        self._clock = clock
        self._data = bytearray()
        self.number = 0
        """Number of the block after which the snapshot was made; 0 before the first chunk has arrived."""
        self.whole: bytes | None = None
        """The snapshot; None until its last chunk has arrived."""
        self._pending_since_s: float | None = None  # None after each chunk
        self.pending_s = 0.0
        """How long the sender has only answered that the snapshot is still being made."""
        self._request()

    def _request(self) -> None:
        """Requests the next chunk."""
        self._requested_at_s = self._clock()
        self._send_request(self.number, len(self._data))

    def request_if_silent(self) -> None:
        """Requests the next chunk again if there was no answer."""
        if self.whole is None and self._clock() - self._requested_at_s >= _RETRY_S:
            self._request()

    def note_pending(self) -> None:
        """Records the answer that the snapshot is still being made; the chunk is requested again later."""
        now_s = self._clock()
        if self._pending_since_s is None:
            self._pending_since_s = now_s
        self.pending_s = now_s - self._pending_since_s

    def add(self, chunk: SnapshotChunk) -> None:
        """Adds a chunk. Ignores one that is not the next one; a chunk of another snapshot restarts the download."""
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
            self._request()
