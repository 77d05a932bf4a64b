"""Times of the named queries of analytics: each is asked several times, in this process.

A time is that of the whole answer: rows read from the archive and the store, the query in DuckDB, the result as Arrow.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from analytics import catalog
from analytics.embedded import Embedded
from analytics.period import Period

SLOW_S = 2.0


@dataclass(frozen=True, slots=True)
class QueryTime:
    query: str
    rows: int  # of the answer
    first_s: float  # the caches of this process are empty before the first query
    median_s: float  # of the later ones
    worst_s: float

    @property
    def is_slow(self) -> bool:
        return self.median_s > SLOW_S


def measure(
    embedded: Embedded, period: Period, account: int, *, rounds: int, progress: Callable[[], object]
) -> list[QueryTime]:
    """`account`: whose profit is asked for. Raises QueryTooLarge and the errors of the store and of the archive."""

    def asked(name: str) -> tuple[float, int]:
        began_s = time.perf_counter()
        with embedded.ask(catalog.query(name, period, account=account), period) as answer:
            rows = sum(batch.num_rows for batch in answer.batches)
        progress()
        return time.perf_counter() - began_s, rows

    found = []
    for name in catalog.named_queries():
        first_s, rows = asked(name)
        times = [asked(name)[0] for _ in range(rounds)]
        found.append(QueryTime(name, rows, round(first_s, 3), round(median(times), 3), round(max(times), 3)))
    return found


def text(found: Sequence[QueryTime]) -> str:
    """Markdown: a row for each query, then the slow ones."""
    lines = ["| query | rows | first s | median s | worst s |", "|---|---:|---:|---:|---:|"]
    lines += [f"| `{one.query}` | {one.rows} | {one.first_s} | {one.median_s} | {one.worst_s} |" for one in found]
    slow = ", ".join(f"{one.query} ({one.median_s:g} s)" for one in found if one.is_slow)
    limit = f"a median over {SLOW_S:g} s"
    return "\n".join([*lines, "", f"These have {limit}: {slow}" if slow else f"None has {limit}."])
