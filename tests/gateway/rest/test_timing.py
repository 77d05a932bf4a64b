import pytest

from gateway.rest import timing
from gateway.rest.errors import ApiError
from gateway.rest.parameters import Parameters

NOW_US = 1_800_000_000_000_000
NOW_MS = NOW_US // 1000
LATE = "Timestamp for this request is outside of the recvWindow."
EARLY = "Timestamp for this request was 1000ms ahead of the server's time."


def expires(**parameters: object) -> int:
    return timing.expires_at_us(Parameters({name: str(value) for name, value in parameters.items()}), NOW_US)


@pytest.mark.parametrize(
    ("parameters", "expires_at_us"),
    [
        ({"timestamp": NOW_MS}, NOW_US + 5_000_000),
        ({"timestamp": NOW_US}, NOW_US + 5_000_000),
        ({"timestamp": NOW_MS - 5000}, NOW_US),
        ({"timestamp": NOW_MS + 999}, NOW_US + 5_999_000),
        ({"timestamp": NOW_US + 999_999}, NOW_US + 5_999_999),
        ({"timestamp": NOW_US - 1_500, "recvWindow": "1.5"}, NOW_US),
        ({"timestamp": NOW_US - 1_346, "recvWindow": "1.346"}, NOW_US),
        ({"timestamp": NOW_MS - 60_000, "recvWindow": "60000"}, NOW_US),
        ({"timestamp": NOW_MS, "recvWindow": "0"}, NOW_US),
    ],
)
def test_requests_in_time(parameters: dict[str, object], expires_at_us: int) -> None:
    assert expires(**parameters) == expires_at_us


@pytest.mark.parametrize(
    ("parameters", "code", "text"),
    [
        ({"timestamp": NOW_MS - 5001}, -1021, LATE),
        ({"timestamp": NOW_US - 5_000_001}, -1021, LATE),
        ({"timestamp": NOW_MS + 1000}, -1021, EARLY),
        ({"timestamp": NOW_US + 1_000_000}, -1021, EARLY),
        ({"timestamp": NOW_US - 1_347, "recvWindow": "1.346"}, -1021, LATE),
        ({"timestamp": 1}, -1021, LATE),
        ({}, -1102, "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed."),
        ({"timestamp": ""}, -1105, "Parameter 'timestamp' was empty."),
        (
            {"timestamp": "now"},
            -1100,
            "Illegal characters found in parameter 'timestamp'; legal range is '^[0-9]{1,20}$'.",
        ),
        ({"timestamp": NOW_MS, "recvWindow": "60001"}, -1131, "recvWindow must be less than 60000."),
        ({"timestamp": NOW_MS, "recvWindow": "60000.001"}, -1131, "recvWindow must be less than 60000."),
        (
            {"timestamp": NOW_MS, "recvWindow": "1.2345"},
            -1100,
            r"Illegal characters found in parameter 'recvWindow'; legal range is '^[0-9]{1,8}(\.[0-9]{1,3})?$'.",
        ),
    ],
)
def test_requests_out_of_time(parameters: dict[str, object], code: int, text: str) -> None:
    with pytest.raises(ApiError) as refused:
        expires(**parameters)
    assert (refused.value.code, refused.value.message) == (code, text)


def test_the_last_microsecond_counts() -> None:
    timing.check(NOW_US, NOW_US)
    with pytest.raises(ApiError, match="outside of the recvWindow"):
        timing.check(NOW_US, NOW_US + 1)
