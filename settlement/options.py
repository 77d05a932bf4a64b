"""Parameters of the settlement worker. The unit is part of each name."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    batch_trades: int = 100  # a batch is projected when this many trades wait
    batch_ms: float = 100  # or when the oldest block has waited this long
    is_projecting: bool = True  # False: a later settlement projects
    until_block: int | None = None  # settle up to this block, then return

    receive_blocks: int = 128  # maximum per commit
    gather_ms: float = 5  # minimum between two commits while blocks arrive one by one
    waiting_blocks: int = 256  # maximum in memory while the store is unavailable or blocks are missing
    spill_after_s: float = 0.5  # blocks that have waited this long for the store are moved to the spill
    epochs_every_s: float = 1.0  # interval between reads of the epochs
    letters_every_s: float = 5.0  # interval between counts of dead letters, while there are some
    backlog_bytes: int = 64 << 20  # appended blocks kept in memory for projection; others are read from the store
    batch_events: int = 8192  # maximum per batch
    beside_s: float = 0.1  # time of a batch of the projecting thread while blocks arrive: an append waits for it
    slice_events: int = 16_384  # maximum per slice of a large block; an event can give a dozen rows

    kept_rows: int = 100_000  # cached orders, and cached balances; 200 MB at most

    gap_grace_s: float = 0.2  # an announced block is requested after this time
    gap_retry_s: float = 0.5  # and requested again after 1, 2, 4, … times this
    gap_attempts: int = 6  # maximum number of requests; with the values above half a minute
    request_blocks: int = 1000  # maximum per request

    retry_first_s: float = 0.05  # delay before the first retry of a call to the store; doubled each time
    retry_max_s: float = 2.0  # upper bound of that delay
