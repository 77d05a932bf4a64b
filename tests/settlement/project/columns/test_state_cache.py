"""The cache of states: whatever is put, taken and dropped, it answers as a dictionary of the newest keys."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.project.columns.state_cache import StateCache, numbered

STATE = np.dtype([("value", "<i8")])
# Keys that are close, that differ in one half only, and the largest ones.
KEYS = st.tuples(st.sampled_from([1, 2, 3, 4, 500, 1 << 31, (1 << 62) + 1, (1 << 63) - 1]), st.integers(0, 3))
STEPS = st.lists(st.tuples(st.sampled_from(["put", "take", "drop"]), st.sets(KEYS, max_size=12)), max_size=40)


def halves(keys: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    array = np.array(keys, np.int64).reshape(-1, 2)
    return array[:, 0].copy(), array[:, 1].copy()


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_without_a_limit_it_is_a_dictionary(steps: list[tuple[str, set[tuple[int, int]]]]) -> None:
    cache, known = StateCache(STATE, None), dict[tuple[int, int], int]()
    for number, (action, chosen) in enumerate(steps, 1):
        keys = sorted(chosen)
        if action == "put":
            known |= dict.fromkeys(keys, number)
            cache.put(*halves(keys), np.full(len(keys), number, STATE))
        elif action == "drop":
            known = {key: value for key, value in known.items() if key not in chosen}
            cache.drop(*halves(keys))
        states, is_found = cache.take(*halves(keys))
        assert is_found.tolist() == [key in known for key in keys]
        assert states["value"].tolist() == [known.get(key, 0) for key in keys]
        assert len(cache) == len(known)
        assert sorted(cache.records()["value"].tolist()) == sorted(known.values())


def test_it_grows_by_as_much_as_is_put() -> None:
    cache, count = StateCache(STATE, None), 50_000
    keys = np.arange(count, dtype=np.int64), np.zeros(count, np.int64)
    for start in range(0, count, 7_000):
        part = slice(start, start + 7_000)
        cache.put(keys[0][part], keys[1][part], keys[0][part].view(STATE))
    states, is_found = cache.take(*keys)
    assert is_found.all()
    assert (states["value"] == keys[0]).all()


@pytest.mark.parametrize("kept", [1, 10, 100])
def test_with_a_limit_the_newest_keys_stay_and_twice_as_many_at_most(kept: int) -> None:
    cache, size = StateCache(STATE, kept), 7
    for start in range(0, 40 * size, size):
        keys = np.arange(start, start + size, dtype=np.int64)
        cache.put(keys, np.zeros(size, np.int64), keys.view(STATE))
        newest = np.arange(max(0, start + size - kept), start + size, dtype=np.int64)
        states, is_found = cache.take(newest, np.zeros(len(newest), np.int64))
        assert is_found.all()
        assert (states["value"] == newest).all()
        assert len(cache) <= 2 * kept + size


def test_a_key_that_is_taken_stays_longer_than_one_that_is_not() -> None:
    cache, zero = StateCache(STATE, 2), np.zeros(1, np.int64)
    for key in range(1, 20):
        cache.put(np.array([key], np.int64), zero, np.full(1, key, STATE))
        assert cache.take(np.array([1], np.int64), zero)[1].all()
    assert not cache.take(np.array([2], np.int64), zero)[1].any()


@given(st.lists(KEYS))
def test_keys_are_numbered_in_the_order_of_their_first_place(keys: list[tuple[int, int]]) -> None:
    local, places = numbered(*halves(keys))
    distinct = list(dict.fromkeys(keys))
    assert local.tolist() == [distinct.index(key) for key in keys]
    assert places.tolist() == [keys.index(key) for key in distinct]
