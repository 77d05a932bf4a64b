import pytest

from gateway.limits.weight import WeightLimit, network_of
from gateway.rest.errors import ApiError

USED_UP = (
    "Too much request weight used; current limit is 100 request weight per 1 MINUTE. Please use WebSocket Streams for "
    "live updates to avoid polling the API."
)


class Clock:
    def __init__(self) -> None:
        self.now_s = 600.0

    def __call__(self) -> float:
        return self.now_s


def refusal(limit: WeightLimit, address: str = "192.0.2.1") -> ApiError:
    with pytest.raises(ApiError) as refused:
        limit.charge(address, 1)
    return refused.value


def test_weight_is_counted_by_address_and_minute() -> None:
    clock = Clock()
    limit = WeightLimit(100, clock)
    assert limit.charge("192.0.2.1", 60) == 60
    assert limit.charge("192.0.2.1", 40) == 100
    assert limit.charge("192.0.2.2", 40) == 40
    clock.now_s += 59.9
    assert limit.used("192.0.2.1") == 100
    clock.now_s += 0.1
    assert limit.used("192.0.2.1") == 0
    assert limit.charge("192.0.2.1", 1) == 1


def test_too_much_weight_is_refused_until_the_minute_ends() -> None:
    clock = Clock()
    limit = WeightLimit(100, clock)
    limit.charge("192.0.2.1", 100)
    clock.now_s += 20.5
    error = refusal(limit)
    assert (error.status, error.code, error.message) == (429, -1003, USED_UP)
    assert error.headers == {"Retry-After": "40"}
    clock.now_s += 40
    assert limit.charge("192.0.2.1", 1) == 1


def test_who_goes_on_is_banned_and_longer_each_time() -> None:
    clock = Clock()
    limit = WeightLimit(100, clock)
    lengths = []
    for _ in range(13):
        limit.charge("192.0.2.1", 100)
        while (error := refusal(limit)).status == 429:
            pass
        assert error.status == 418
        until_ms = int(error.message.split("banned until ")[1].split(".")[0])
        assert error.message.startswith("Way too much request weight used; IP banned until ")
        assert int(error.headers["Retry-After"]) == int(until_ms / 1000 - clock.now_s) + 1
        lengths.append(until_ms / 1000 - clock.now_s)
        clock.now_s = until_ms / 1000 - 0.001
        assert refusal(limit).status == 418
        clock.now_s = (until_ms / 1000 // 60 + 1) * 60
    assert lengths[:3] == [120, 240, 480]
    assert lengths[-1] == 3 * 24 * 3600


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", ""),
        ("no:address", "no:address"),
    ],
)
def test_an_address_of_ipv6_is_its_network(address: str, network: str) -> None:
    assert network_of(address) == network
