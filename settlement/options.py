"""How settlement behaves where there is a choice. Times in seconds unless the name says otherwise."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    batch_trades: int = 100  # projected at once when so many wait
    batch_ms: float = 100  # or when the oldest has waited so long
    until_block: int | None = None  # settle up to this block, then return

    receive_blocks: int = 128  # appended in one commit at most
    gather_ms: float = 5  # between one commit and the next, while blocks come one by one
    waiting_blocks: int = 256  # held in memory while the store does not answer, or a gap is open
    spill_after_s: float = 0.5  # a block that has waited for the store so long goes to the spill
    epochs_every_s: float = 1.0  # so often the store is asked who leads
    letters_every_s: float = 5.0  # so often it is asked whether dead letters are still there, while some are
    backlog_bytes: int = 64 << 20  # appended blocks held in memory for projection; beyond it they are read back
    batch_events: int = 8192  # a batch is closed at so many: it must not keep appends waiting for long
    slice_events: int = 16_384  # a block with more is projected in slices of so many: each event may give a dozen rows

    kept_rows: int = 100_000  # orders, and balances, remembered before the store is asked again: 200 MB at most

    gap_grace_s: float = 0.2  # an announced block is given so long to arrive by itself
    gap_retry_s: float = 0.5  # then it is asked for, and again after 1, 2, 4, … times this
    gap_attempts: int = 6  # so often; with the values above half a minute
    request_blocks: int = 1000  # asked for at once

    retry_first_s: float = 0.05  # a store that does not answer is asked again after this, doubled each time
    retry_most_s: float = 2.0
