"""Places and sizes of a chart's shapes."""

from back_office.figures.charts import HEIGHT, WIDTH, Point, bar_chart, heat_map


def points(*values: float | None) -> list[Point]:
    return [Point(f"label {place}", value, str(value)) for place, value in enumerate(values)]


def test_bars_stand_on_the_line_at_zero() -> None:
    chart = bar_chart(points(50, 100))
    assert chart is not None
    first, second = chart.bars
    assert (first.y, first.height) == ("110", "110")
    assert (second.y, second.height) == ("0", "220")
    assert (chart.zero, chart.highest, chart.lowest) == ("220", "100", "")


def test_a_negative_bar_hangs_below_the_line() -> None:
    chart = bar_chart(points(100, -100))
    assert chart is not None
    assert [(bar.y, bar.height, bar.is_negative) for bar in chart.bars] == [("0", "110", False), ("110", "110", True)]
    assert (chart.zero, chart.lowest) == ("110", "-100")


def test_bars_share_the_width_and_do_not_touch() -> None:
    chart = bar_chart(points(*range(1, 41)))
    assert chart is not None
    ends = [float(bar.x) + float(bar.width) for bar in chart.bars]
    assert all(float(bar.x) > end for bar, end in zip(chart.bars[1:], ends, strict=False))
    assert 0 < float(chart.bars[0].x) < ends[-1] < WIDTH
    assert len(chart.labels) == 8


def test_an_unknown_value_leaves_a_place_free() -> None:
    chart = bar_chart(points(1, None, 1))
    assert chart is not None
    assert len(chart.bars) == 2
    assert float(chart.bars[1].x) > 2 * WIDTH / 3


def test_zeros_are_drawn_and_nothing_is_no_chart() -> None:
    chart = bar_chart(points(0, 0))
    assert chart is not None
    assert {bar.height for bar in chart.bars} == {"1"}
    assert max(float(bar.y) for bar in chart.bars) <= HEIGHT
    assert bar_chart([]) is None
    assert bar_chart(points(None)) is None


def test_the_busiest_hour_has_the_strongest_colour() -> None:
    chart = heat_map({(0, 0): 1, (6, 23): 80, (2, 5): 40})
    levels = {cell.title: cell.level for cell in chart.cells}
    assert levels["Sun 23:00 UTC: 80"] == 8
    assert levels["Wed 05:00 UTC: 40"] == 4
    assert levels["Mon 00:00 UTC: 1"] == 1
    assert levels["Tue 00:00 UTC: 0"] == 0
