"""Where rows are, and which write of two wins: partition keys and write times of the ScyllaDB store.

A write names its own time (`USING TIMESTAMP`), made of the sequence that set the row: whatever comes late or twice
loses, or changes nothing. Projections have a generation in front, which rises whenever they are dropped or reset:
their deletes hide what was there, and not what is written again with the same sequences.

ScyllaDB refuses times of the future. Generation 51 would begin late in 2026, as microseconds since 1970.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from functools import lru_cache
from itertools import groupby

BLOCKS = 64
"""Blocks in a partition."""
BUCKET = 10_000
"""Sequences in a partition of trades or orders, and in one of `ledger_accounts`."""
SLICE = 1_000
"""Sequences that are looked through for the rows of one instrument."""
HOLDERS = 256
"""Accounts in a partition of balances: one batch holds those of a market's many traders."""
PART = 1_000_000
"""Sequences of an account in one partition."""

LEAST = -(1 << 63)
MOST = (1 << 63) - 1

GENERATIONS = 50
_SEQUENCE_BITS = 45  # ten years at 100,000 events a second
_LAST = (1 << _SEQUENCE_BITS) - 1
_BLOCK_BITS = 34  # five years at 100 blocks a second; as seconds, 544 years
EPOCHS = 1 << 16
"""Later ones would be stamped with times of the future."""
_DAY_NS = 86_400 * 10**9

assert PART % BUCKET == 0
assert BUCKET % SLICE == 0


def stamp(generation: int, sequence: int) -> int:
    """The write time of a projected row that event `sequence` has set; beyond the last one they are all equal."""
    return (generation << _SEQUENCE_BITS) + min(max(sequence, 0), _LAST)


def last_stamp(generation: int) -> int:
    """Later than every write of this generation but a delete of its own."""
    return (generation << _SEQUENCE_BITS) + _LAST


def head_stamp(epoch: int, block_number: int) -> int:
    """The write time of the `appended` checkpoint: the newest epoch's counts, and of these the newest block's."""
    return (epoch << _BLOCK_BITS) + block_number


def block_stamp(epoch: int, since_s: int) -> int:
    """The write time of a block: the newest epoch's counts, and of these the one of who began to append last.

    `since_s`: when that was, in seconds of 1970. So of two copies of one epoch, which replicas that differ can make,
    one wins as a whole: with equal times the larger value of each cell would stay.
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


def holders(accounts: Iterable[int]) -> Iterator[int]:
    """The partitions of the balances of accounts that rise."""
    return (bucket for bucket, _ in groupby(accounts, lambda account: account // HOLDERS))


def is_int64(value: int) -> bool:
    """No column holds another number."""
    return LEAST <= value <= MOST


def int64(value: int) -> int:
    """The nearest bound of a range that the columns can hold."""
    return max(LEAST, min(MOST, value))


def before_key(before: int | None) -> int:
    """The first key that is too high."""
    return MOST if before is None else int64(before)
