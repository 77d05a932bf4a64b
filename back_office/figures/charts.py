"""Charts as plain SVG: shapes with places and sizes, which a template writes. Colours are in the style sheet.

A page has no inline styles (docs/decisions/0026-headers-and-static-files.md), so nothing here is CSS.
"""

from collections.abc import Sequence
from typing import NamedTuple

WIDTH, HEIGHT = 960, 220
_LABELS_X = 8
"""At most as many labels below a chart."""
_GAP = 0.2
LEVELS = 8
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
HOURS = 24
CELL_WIDTH, CELL_HEIGHT = WIDTH / (HOURS + 2), 26


class Point(NamedTuple):
    label: str  # of the x axis
    value: float | None  # None: there is no bar
    text: str  # of the value


class Bar(NamedTuple):
    x: str
    y: str
    width: str
    height: str
    is_negative: bool
    title: str


class Label(NamedTuple):
    x: str
    text: str


class BarChart(NamedTuple):
    bars: list[Bar]
    labels: list[Label]
    zero: str  # y of the line at 0
    highest: str  # text of the highest value
    lowest: str  # text of the lowest value, if it is below 0


class Cell(NamedTuple):
    x: str
    y: str
    level: int  # 0 (nothing) to LEVELS
    title: str


class HeatMap(NamedTuple):
    cells: list[Cell]
    days: list[Label]  # x is the y of the row
    hours: list[Label]


def bar_chart(points: Sequence[Point]) -> BarChart | None:
    """None if there is nothing to draw."""
    known = [point for point in points if point.value is not None]
    if not known:
        return None
    highest = max(known, key=lambda point: point.value or 0)
    lowest = min(known, key=lambda point: point.value or 0)
    top, bottom = max(highest.value or 0.0, 0.0), min(lowest.value or 0.0, 0.0)
    scale = HEIGHT / (top - bottom or 1)
    step = WIDTH / len(points)
    bars = []
    for place, point in enumerate(points):
        if point.value is not None:
            y = (top - max(point.value, 0)) * scale
            height = max(abs(point.value) * scale, 1.0)
            x, width = (place + _GAP / 2) * step, step * (1 - _GAP)
            title = f"{point.label}: {point.text}"
            bars.append(Bar(_text(x), _text(y), _text(width), _text(height), point.value < 0, title))
    every = -(-len(points) // _LABELS_X)
    labels = [Label(_text(place * step), point.label) for place, point in enumerate(points) if place % every == 0]
    return BarChart(bars, labels, _text(top * scale), highest.text, lowest.text if bottom < 0 else "")


def heat_map(counts: dict[tuple[int, int], int]) -> HeatMap:
    """`counts` by (weekday, hour); Monday is 0."""
    most = max(counts.values(), default=0)
    cells = []
    for day, day_name in enumerate(DAYS):
        for hour in range(HOURS):
            count = counts.get((day, hour), 0)
            level = -(-count * LEVELS // most) if most else 0
            title = f"{day_name} {hour:02}:00 UTC: {count}"
            cells.append(Cell(_text((hour + 2) * CELL_WIDTH), _text(day * CELL_HEIGHT), level, title))
    days = [Label(_text(day * CELL_HEIGHT + CELL_HEIGHT * 0.7), name) for day, name in enumerate(DAYS)]
    hours = [Label(_text((hour + 2) * CELL_WIDTH), f"{hour:02}") for hour in range(0, HOURS, 3)]
    return HeatMap(cells, days, hours)


def _text(number: float) -> str:
    """For an attribute: a template would write a decimal comma in some languages."""
    return f"{number:.2f}".rstrip("0").rstrip(".")
