"""docs/logs.md lists every log event of the packages below, with its level and fields, and no event that is gone."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "logs.md"
PACKAGES = [
    "analytics",
    "archive",
    "back_office",
    "exchange_site",
    "gateway",
    "ledger",
    "matching/client",
    "matching/commandline",
    "matching/core",
    "matching/feed",
    "matching/management",
    "matching/node",
    "matching/storage",
    "matching/transport",
    "matching/workloads",
    "settlement",
    "simulator",
    "benchmarks",
    "scripts",
]
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
IDENTIFIER = r"[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*"


class LogCall(NamedTuple):
    place: str
    level: str
    event: str  # "" if it is not a literal string
    fields: frozenset[str]


class Row(NamedTuple):
    event: str
    level: str
    fields: frozenset[str]
    meaning: str
    what_to_do: str


def log_calls() -> Iterator[LogCall]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and is_log_method(node.func):
                    yield read_call(f"{path.relative_to(ROOT)}:{node.lineno}", node)


def is_log_method(function: ast.expr) -> bool:
    return (
        isinstance(function, ast.Attribute)
        and function.attr in LEVELS
        and isinstance(function.value, ast.Name)
        and function.value.id in ("log", "logger", "logging")
    )


def read_call(place: str, call: ast.Call) -> LogCall:
    assert isinstance(call.func, ast.Attribute)
    first = call.args[0] if len(call.args) == 1 else None
    event = first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""
    return LogCall(place, call.func.attr, event, frozenset(str(keyword.arg) for keyword in call.keywords))


def rows() -> list[Row]:
    found = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `"):
            assert len(cells) == len(Row._fields), line
            event, level, fields, meaning, what_to_do = cells
            found.append(Row(event.strip("`"), level, frozenset(re.findall(r"`(\w+)`", fields)), meaning, what_to_do))
    return found


def test_log_events_are_identifiers_with_fields() -> None:
    calls = list(log_calls())
    assert len(calls) >= 15, "the packages were read"
    assert not [call for call in calls if not re.fullmatch(IDENTIFIER, call.event)]


def test_every_log_event_is_listed_with_its_level_and_fields() -> None:
    listed = {(row.event, row.level, row.fields) for row in rows()}
    assert not [call for call in log_calls() if (call.event, call.level, call.fields) not in listed]


def test_every_listed_event_is_in_the_code_and_listed_once() -> None:
    events = [row.event for row in rows()]
    assert sorted(events) == sorted({call.event for call in log_calls()})


def test_no_listed_event_leaves_a_column_empty() -> None:
    assert all(row.meaning and row.what_to_do for row in rows())
