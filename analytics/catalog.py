"""The named queries: one file each in `queries/`, which begins with a comment that defines the figure and its units."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from sqlglot import exp

from analytics import dialect
from analytics.errors import QueryRefused
from analytics.period import Period

FOLDER = Path(__file__).parent / "queries"
BUCKETS_NS: Mapping[str, int] = {"minute": 60 * 10**9, "hour": 3600 * 10**9, "day": 86_400 * 10**9}
DEFAULT_BUCKET = "day"


class NamedQuery(NamedTuple):
    name: str
    definition: str  # sentences for people
    text: str

    @property
    def summary(self) -> str:
        """The first sentence of the definition."""
        return self.definition.split(". ")[0].rstrip(".") + "."


@cache
def named_queries() -> dict[str, NamedQuery]:
    return {path.stem: _read(path) for path in sorted(FOLDER.glob("*.sql"))}


def query(name_or_sql: str, period: Period, *, bucket: str = DEFAULT_BUCKET, account: int | None = None) -> exp.Query:
    """A named query, or a query of the user, with its numbers. Raises QueryRefused."""
    known = named_queries()
    if name_or_sql not in known and name_or_sql.strip().isidentifier():
        raise QueryRefused(f"There is no query {name_or_sql}: the names are {', '.join(known)}.")
    tree = dialect.parse(known[name_or_sql].text if name_or_sql in known else name_or_sql)
    if account is None and "account" in dialect.parameters(tree):
        raise QueryRefused("The query is about one account: give it with --account.")
    numbers = {"from_ns": period.from_ns, "to_ns": period.to_ns, "bucket_ns": BUCKETS_NS[bucket]}
    return dialect.bind(tree, numbers if account is None else {**numbers, "account": account})


def _read(path: Path) -> NamedQuery:
    text = path.read_text(encoding="utf-8")
    comment = [line.removeprefix("--").strip() for line in text.splitlines() if line.startswith("--")]
    return NamedQuery(path.stem, " ".join(comment), text)
