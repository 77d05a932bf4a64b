"""The projector's cache: its size is bounded, and recently used items stay in it."""

from hypothesis import given
from hypothesis import strategies as st

from settlement.project.recently_used import RecentlyUsed

KEYS = st.lists(st.integers(0, 30), min_size=1, max_size=6)


@given(size=st.integers(1, 10), batches=st.lists(KEYS, max_size=60))
def test_the_last_keys_used_are_kept_and_memory_is_bounded(size: int, batches: list[list[int]]) -> None:
    memory: RecentlyUsed[int, int] = RecentlyUsed(size)
    written: dict[int, int] = {}
    used: list[int] = []  # keys, the last used at the end
    for turn, keys in enumerate(batches):
        found = memory.take(keys)
        assert found == {key: written[key] for key in found}
        latest = list(dict.fromkeys(reversed(used)))[:size]
        assert set(latest) & set(keys) <= found.keys()
        values = dict.fromkeys(keys, turn)
        memory.put(values)
        written |= values
        used += keys
        assert len(memory.values()) <= 2 * size + 2 * 6
        assert memory.values().items() <= written.items()


@given(batches=st.lists(KEYS, max_size=20))
def test_without_a_size_only_the_given_keys_are_forgotten(batches: list[list[int]]) -> None:
    memory: RecentlyUsed[int, int] = RecentlyUsed(None)
    kept: dict[int, int] = {}
    for turn, keys in enumerate(batches):
        memory.put(dict.fromkeys(keys, turn))
        kept |= dict.fromkeys(keys, turn)
        memory.forget(keys[:1])
        kept.pop(keys[0], None)
        assert memory.values() == kept
