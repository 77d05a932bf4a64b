"""Queries are written in StarRocks' dialect of SQL. DuckDB gets them transpiled, with macros for what it lacks.

Only what means the same in both is accepted, for the queries of this package and for those of users: one SELECT over
the known tables, with the functions that are listed here. Everything else is refused before any database sees it, so
a query can neither name a file, a setting or another database, nor write.

Why some functions are missing, although both databases have them:

    dayofweek, week           they count from another day: compute from nanoseconds, as in `queries/heat_map.sql`
    datediff, date_add        they differ in units, and on texts: subtract nanoseconds
    percentile_cont           it rounds decimals differently: `percentile_approx`
    from_unixtime, now        they depend on the session's time zone and on the clock
    length, locate, regexp    they count bytes or characters, and patterns differ
"""

from collections.abc import Collection, Mapping

import sqlglot
from sqlglot import TokenType, exp
from sqlglot.errors import SqlglotError

from analytics.errors import QueryRefused
from analytics.tables import NAMES

MACROS: Mapping[str, str] = {
    "to_bitmap": "(x) AS x",
    "bitmap_union_count": "(x) AS count(DISTINCT x)",
    "hll_hash": "(x) AS x",
    "hll_union_agg": "(x) AS count(DISTINCT x)",
    "ndv": "(x) AS count(DISTINCT x)",
    "percentile_approx": "(x, p) AS quantile_cont(CAST(x AS DOUBLE), p)",
}
"""Functions of StarRocks that DuckDB has under no name. Where StarRocks estimates, DuckDB computes exactly."""

MAX_CHARACTERS = 20_000
MAX_DEPTH = 100

_FUNCTIONS: tuple[type[exp.Func], ...] = (
    exp.Abs,
    exp.And,
    exp.ApproxDistinct,
    exp.ArgMax,
    exp.ArgMin,
    exp.Avg,
    exp.Case,
    exp.Cast,
    exp.Ceil,
    exp.Coalesce,
    exp.Concat,
    exp.Count,
    exp.DenseRank,
    exp.FirstValue,
    exp.Floor,
    exp.Greatest,
    exp.If,
    exp.Lag,
    exp.LastValue,
    exp.Lead,
    exp.Least,
    exp.Ln,
    exp.Lower,
    exp.Max,
    exp.Min,
    exp.Nullif,
    exp.Or,
    exp.Pow,
    exp.Rank,
    exp.Round,
    exp.RowNumber,
    exp.Sign,
    exp.Sqrt,
    exp.Stddev,
    exp.StddevSamp,
    exp.Sum,
    exp.Upper,
    exp.Variance,
)
_BEGINNINGS = (TokenType.SELECT, TokenType.WITH, TokenType.L_PAREN)
_ONE_SELECT = "Only one SELECT is allowed: the tables can be read and not changed."
_WRITES = (exp.DDL, exp.DML, exp.Command, exp.Into, exp.Lock)
_TYPES = ("TINYINT", "SMALLINT", "INT", "BIGINT", "INT128", "DECIMAL", "DOUBLE", "VARCHAR", "TEXT", "BOOLEAN", "DATE")


def parse(text: str) -> exp.Query:
    """The query, if it is one and means the same in both databases. Raises QueryRefused."""
    if len(text) > MAX_CHARACTERS:
        raise QueryRefused(f"A query can have at most {MAX_CHARACTERS} characters.")
    try:
        first = next(iter(sqlglot.tokenize(text, read="starrocks")), None)
        if first is None or first.token_type not in _BEGINNINGS:
            raise QueryRefused(_ONE_SELECT)
        found = [tree for tree in sqlglot.parse(text, read="starrocks") if tree is not None]
    except (SqlglotError, RecursionError) as error:
        raise QueryRefused(f"The query is not valid SQL of StarRocks: {_first_line(error)}.") from error
    if len(found) != 1 or not isinstance(found[0], exp.Query):
        raise QueryRefused(_ONE_SELECT)
    tree = found[0]
    _refuse_deep(tree)
    _refuse_writes(tree)
    _refuse_other_tables(tree)
    _refuse_functions(tree)
    _refuse_divisions(tree)
    return tree


def bind(tree: exp.Query, values: Mapping[str, int]) -> exp.Query:
    """Replaces each `:name` by its number. Raises QueryRefused for a name without one."""

    def replace(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Parameter | exp.SessionParameter):
            raise QueryRefused("Variables are not available: a parameter is a name such as :from_ns.")
        if not isinstance(node, exp.Placeholder):
            return node
        if node.name not in values:
            raise QueryRefused(f"The query needs a number for :{node.name or '?'}, and there is none.")
        return exp.Literal.number(values[node.name])

    bound = tree.transform(replace)
    assert isinstance(bound, exp.Query)
    return bound


def parameters(tree: exp.Query) -> set[str]:
    return {node.name for node in tree.find_all(exp.Placeholder)}


def tables_of(tree: exp.Query) -> set[str]:
    """The tables that the query reads."""
    return {table.name for table in tree.find_all(exp.Table)} & set(NAMES)


def for_duckdb(tree: exp.Query) -> str:
    return tree.sql(dialect="duckdb", comments=False)


def for_starrocks(tree: exp.Query) -> str:
    return tree.sql(dialect="starrocks", comments=False)


def _refuse_deep(tree: exp.Query) -> None:
    """A deeper tree could exceed Python's recursion limit when it is copied or written."""
    waiting: list[tuple[exp.Expr, int]] = [(tree, 1)]
    while waiting:
        node, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise QueryRefused(f"The query is nested more than {MAX_DEPTH} levels deep.")
        waiting += [(child, depth + 1) for child in node.iter_expressions()]


def _refuse_writes(tree: exp.Query) -> None:
    for node in tree.walk():
        if isinstance(node, _WRITES):
            raise QueryRefused(_ONE_SELECT)


def _refuse_other_tables(tree: exp.Query) -> None:
    known: Collection[str] = {*NAMES, *(cte.alias for cte in tree.find_all(exp.CTE))}
    for table in tree.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier) or table.args.get("db") or table.name not in known:
            raise QueryRefused(f"There is no table {_shown(table)}: the tables are {', '.join(NAMES)}.")
    for source in (exp.Lateral, exp.Unnest, exp.Values, exp.Pivot, exp.TableSample):
        if tree.find(source):
            raise QueryRefused(f"{source.__name__.upper()} is not available: only tables and subqueries are read.")


def _refuse_functions(tree: exp.Query) -> None:
    for node in tree.walk():
        if isinstance(node, exp.Cast) and (type(node) is not exp.Cast or node.to.this.name not in _TYPES):
            raise QueryRefused(f"The type of {_shown(node)} is not available: types are {', '.join(_TYPES)}.")
        if isinstance(node, exp.Anonymous):
            if node.name.lower() not in MACROS or node.parent is None or isinstance(node.parent, exp.Dot):
                raise QueryRefused(f"The function {node.name} is not available.")
        elif isinstance(node, exp.Func) and type(node) not in _FUNCTIONS:
            raise QueryRefused(f"The function {node.sql_name().lower()} is not available.")
        elif isinstance(node, exp.Interval):
            raise QueryRefused("INTERVAL is not available: add or subtract nanoseconds.")


def _refuse_divisions(tree: exp.Query) -> None:
    """A division of decimals has another number of digits in each database. DIV is that of integers."""
    for division in tree.find_all(exp.Div):
        left = division.this.unnest()
        if not (isinstance(left, exp.Cast) and left.to.this.name == "DOUBLE"):
            raise QueryRefused(f"Write CAST(… AS DOUBLE) / … in {_shown(division)}, or DIV for whole numbers.")


def _shown(node: exp.Expr) -> str:
    text = node.sql(dialect="starrocks")
    return text if len(text) <= 60 else f"{text[:60]}…"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
