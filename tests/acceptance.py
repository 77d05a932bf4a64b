"""The table that ends `make acceptance`: what each long test proves, how it ended and how long it took."""

from collections.abc import Iterable
from dataclasses import dataclass

import pytest

PROVES = "proves"  # the user property by which a report carries what its test proves
_WORST_LAST = ("passed", "skipped", "failed")


@dataclass
class Row:
    test: str
    proves: str
    result: str = "passed"
    seconds: float = 0.0


def note_what_it_proves(item: pytest.Item) -> None:
    """Reports of the item carry the sentence of its marker, from a parallel worker too."""
    for marker in item.iter_markers("acceptance"):
        item.user_properties.append((PROVES, marker.args[0]))


def rows(reports: Iterable[pytest.TestReport]) -> list[Row]:
    """One row a test, from the reports of its set-up, its call and its end."""
    found: dict[str, Row] = {}
    for report in reports:
        proves = dict(report.user_properties).get(PROVES)
        if proves is None:
            continue
        row = found.setdefault(report.nodeid, Row(report.nodeid.rpartition("::")[2], str(proves)))
        row.seconds += report.duration
        row.result = max(row.result, report.outcome, key=_WORST_LAST.index)
    return list(found.values())


def table(reports: Iterable[pytest.TestReport]) -> list[str]:
    """Lines of text; none where no test was one of acceptance."""
    told = [("test", "proves", "result", "seconds")]
    told += [(row.test, row.proves, row.result, f"{row.seconds:.1f}") for row in rows(reports)]
    if len(told) == 1:
        return []
    widths = [max(map(len, column)) for column in zip(*told, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in told]
