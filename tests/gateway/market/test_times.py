import pytest

from gateway.market import times
from gateway.model.intervals import DAY_NS, HOUR_NS, MINUTE_NS
from gateway.rest.errors import ApiError
from gateway.rest.parameters import Parameters


def test_times_are_milli_or_microseconds_by_their_size() -> None:
    assert times.start(Parameters({"startTime": "1796027433000"})) == 1_796_027_433_000_000_000
    assert times.start(Parameters({"startTime": "1796027433000001"})) == 1_796_027_433_000_001_000
    assert times.end(Parameters({"endTime": "1796027433000"})) == 1_796_027_433_000_999_999
    assert times.start(Parameters({})) is None


@pytest.mark.parametrize(
    ("text", "hours", "minutes"), [("0", 0, 0), ("-8", -8, 0), ("05:45", 5, 45), ("+14:00", 14, 0), ("-3:30", -3, -30)]
)
def test_zones(text: str, hours: int, minutes: int) -> None:
    assert times.zone(Parameters({"timeZone": text})) == hours * HOUR_NS + minutes * MINUTE_NS


@pytest.mark.parametrize("text", ["15", "-13", "x", "1:5", "1:60"])
def test_other_zones_are_refused(text: str) -> None:
    with pytest.raises(ApiError):
        times.zone(Parameters({"timeZone": text}))


def test_windows() -> None:
    assert times.window(Parameters({})) == DAY_NS
    assert times.window(Parameters({"windowSize": "59m"})) == 59 * MINUTE_NS
    for text in ("60m", "24h", "8d", "0m", "1w", "d"):
        with pytest.raises(ApiError):
            times.window(Parameters({"windowSize": text}))
