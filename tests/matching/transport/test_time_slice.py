from hypothesis import given
from hypothesis import strategies as st

from matching.transport.time_slice import CostlyWork, Pace


@given(now_s=st.floats(0, 1e6), size=st.integers(1, 1 << 30), seconds=st.floats(1e-6, 10))
def test_whoever_waits_as_long_as_said_may_go_on(now_s: float, size: int, seconds: float) -> None:
    clock = [now_s]
    pace, costly = Pace(lambda: clock[0], 64 << 20), CostlyWork(lambda: clock[0])
    pace.count(size)
    costly.count(seconds)
    for limited in (pace, costly):
        clock[0] += max(0.0, limited.due_in_s)
        clock[0] += max(0.0, limited.due_in_s)  # at most a rounding error is left after the first wait
        assert limited.due_in_s <= 0
