"""Partition keys and write times of the ScyllaDB store.

The write time (`USING TIMESTAMP`) of a row is computed from the sequence that set the row, so a late write loses
against a newer one and a repeated write changes nothing. The write time of a projected row has the generation in its
high bits. The generation increases whenever projections are dropped or reset, so that their deletes hide the earlier
rows, but not rows that are written again with the same sequences.

ScyllaDB rejects timestamps in the future. Those of generation 51, in microseconds since 1970, begin in November 2026.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from functools import lru_cache
from itertools import groupby

BLOCKS_PER_BUCKET = 64
"""Blocks per partition."""
BLOCKS_PER_CHECKPOINT_BUCKET = 1_000_000
"""Blocks per partition of signed checkpoints."""
BUCKET_SIZE = 10_000
"""Sequences per partition of trades, of orders and of `ledger_accounts`."""
SLICE_SIZE = 1_000
"""Sequences that a lookup by instrument reads at a time."""
ACCOUNTS_PER_BUCKET = 256
"""Accounts per partition of balances: many enough that one batch contains the balances of a market's traders."""
PART_SIZE = 1_000_000
"""Sequences per partition of an account's rows."""

INT64_MIN = -(1 << 63)
INT64_MAX = (1 << 63) - 1

MAX_GENERATION = 50
_SEQUENCE_BITS = 45  # ten years at 100,000 events a second
_MAX_SEQUENCE = (1 << _SEQUENCE_BITS) - 1
_BLOCK_BITS = 34  # five years at 100 blocks a second; as seconds, 544 years
MAX_EPOCH = 1 << 16
"""Later epochs would have write times in the future."""
_DAY_NS = 86_400 * 10**9

assert PART_SIZE % BUCKET_SIZE == 0
assert BUCKET_SIZE % SLICE_SIZE == 0


def stamp(generation: int, sequence: int) -> int:
    """The write time of a projected row that event `sequence` set; equal for all sequences beyond the maximum."""
    return (generation << _SEQUENCE_BITS) + min(max(sequence, 0), _MAX_SEQUENCE)


def last_stamp(generation: int) -> int:
    """The write time of deletes: not earlier than any other write of this generation."""
    return (generation << _SEQUENCE_BITS) + _MAX_SEQUENCE


def head_stamp(epoch: int, block_number: int) -> int:
    """The write time of the `appended` checkpoint: the newest epoch wins, and within an epoch the newest block."""
    return (epoch << _BLOCK_BITS) + block_number


def block_stamp(epoch: int, since_s: int) -> int:
    """The write time of a block: the newest epoch wins, and within an epoch the process that began to append last.

    `since_s` is the time of that process's first append, Unix seconds. If replicas diverge, one epoch can have two
    versions of a block, and one of them must win as a whole: with equal write times the larger value of each cell
    would win.
    """
    return (epoch << _BLOCK_BITS) + since_s


def month_of(at_ns: int) -> int:
    """yyyymm, UTC."""
    return _month_of_day(at_ns // _DAY_NS)


def date_of(at_ns: int) -> date:
    """UTC."""
    return _date_of_day(at_ns // _DAY_NS)


@lru_cache(maxsize=64)
def _month_of_day(day: int) -> int:
    found = _date_of_day(day)
    return found.year * 100 + found.month


@lru_cache(maxsize=64)
def _date_of_day(day: int) -> date:
    return datetime.fromtimestamp(day * 86_400, UTC).date()


def balance_buckets(accounts: Iterable[int]) -> Iterator[int]:
    """The buckets of the balances of these accounts, which are sorted."""
    return (bucket for bucket, _ in groupby(accounts, lambda account: account // ACCOUNTS_PER_BUCKET))


def is_int64(value: int) -> bool:
    """Whether a bigint column can hold the number."""
    return INT64_MIN <= value <= INT64_MAX


def int64(value: int) -> int:
    """The value, limited to the range of a bigint column."""
    return max(INT64_MIN, min(INT64_MAX, value))


def before_key(before: int | None) -> int:
    """The exclusive upper bound of the keys on a page."""
    return INT64_MAX if before is None else int64(before)
