"""Appending blocks while an epoch begins: every order of their steps, on the store without transactions."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, product
from typing import Any

import pytest

from settlement.stores.base import Checkpoint, Fenced, Outrun, StoredBlock, StoreUnavailable
from settlement.stores.scylla.store import ScyllaStore
from tests.settlement.conftest import restarted
from tests.settlement.fakes import Crash
from tests.settlement.rows import block, epoch

pytestmark = [pytest.mark.services("cassandra"), pytest.mark.django_db]

REQUESTS = ("rows", "rows_concurrently", "send")
"""What the others go through as well."""
STEPS = 5
"""As many as either side takes until it is decided who wins."""
DEADLINE_S = 30

SECOND = epoch(2, 3, 2**64 - 2)
OLD = [block(3), block(4)]
NEW = [block(3, epoch=2, hash=77, data=b"new"), block(4, epoch=2, hash=78, prev_hash=77, data=b"newer")]


@pytest.fixture
def started(new_scylla: Callable[[], ScyllaStore]) -> ScyllaStore:
    """Blocks 1 and 2 of the first epoch."""
    store = new_scylla()
    store.begin_epoch(epoch(1))
    store.append_blocks([block(1), block(2)])
    return store


def another(store: ScyllaStore) -> ScyllaStore:
    found = restarted(store)
    assert isinstance(found, ScyllaStore)
    return found


class Turns:
    """Lets requests of several sides through in the order of `schedule`; who is done gives up its turns."""

    def __init__(self, schedule: Sequence[str], after_each: Callable[[], object] = lambda: None) -> None:
        self._schedule = list(schedule)
        self._after_each = after_each
        self._changed = threading.Condition()
        self._done: set[str] = set()

    def wrap(self, store: ScyllaStore, side: str) -> None:
        session = store._session
        for name in REQUESTS:
            setattr(session, name, self._taking_turns(getattr(session, name), side))

    def _taking_turns(self, method: Callable[..., Any], side: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            with self._changed:
                assert self._changed.wait_for(lambda: self._turn() in (side, None), DEADLINE_S)
                try:
                    return method(*arguments, **options)
                finally:
                    self._after_each()
                    if self._schedule:
                        self._schedule.pop(0)
                    self._changed.notify_all()

        return call

    def _turn(self) -> str | None:
        while self._schedule and self._schedule[0] in self._done:
            self._schedule.pop(0)
        return self._schedule[0] if self._schedule else None

    def done(self, side: str) -> None:
        with self._changed:
            self._done.add(side)
            self._changed.notify_all()


def raced(turns: Turns, sides: dict[str, Callable[[], object]]) -> dict[str, Exception | None]:
    """What each side raised."""
    outcomes: dict[str, Exception | None] = {}

    def run(name: str, act: Callable[[], object]) -> None:
        try:
            act()
            outcomes[name] = None
        except (Fenced, Outrun, StoreUnavailable) as error:
            outcomes[name] = error
        finally:
            turns.done(name)

    threads = [threading.Thread(target=run, args=side) for side in sides.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert len(outcomes) == len(sides), "a side did not come to its end"
    return outcomes


def schedules() -> Iterator[list[str]]:
    """Every order of the steps of two sides."""
    for places in combinations(range(2 * STEPS), STEPS):
        yield ["append" if place in places else "begin" for place in range(2 * STEPS)]


@pytest.mark.slow
@pytest.mark.parametrize("is_watched", [False, True])
def test_of_an_append_and_an_epoch_that_race_exactly_one_wins_in_every_order(
    started: ScyllaStore, new_scylla: Callable[[], ScyllaStore], is_watched: bool
) -> None:
    outcomes_seen = set()
    for number, schedule in enumerate(schedules()):
        if is_watched and number % 3:
            continue
        store = new_scylla()
        store.begin_epoch(epoch(1))
        store.append_blocks([block(1), block(2)])
        appender, leader, watcher = another(store), another(store), another(store)
        seen: list[Checkpoint] = []
        turns = Turns(schedule, lambda: seen.append(watcher.appended()) if is_watched else None)  # noqa: B023
        turns.wrap(appender, "append")
        turns.wrap(leader, "begin")
        outcomes = raced(
            turns,
            {"append": lambda: appender.append_blocks(OLD), "begin": lambda: leader.begin_epoch(SECOND)},  # noqa: B023
        )
        kinds = {side: type(error) for side, error in outcomes.items()}
        outcomes_seen.add(tuple(sorted(kinds.items(), key=str)))
        assert kinds in ({"append": type(None), "begin": Outrun}, {"append": Fenced, "begin": type(None)}), schedule
        judge(store, has_begun=outcomes["begin"] is None)
        assert max(seen, default=Checkpoint(0, 0, 0)).block_number <= store.appended().block_number, schedule
    assert len(outcomes_seen) == 2


def judge(store: ScyllaStore, has_begun: bool) -> None:
    """What SQL would have left; and the leader that follows is settled."""
    numbers = [one.number for one in store.epochs()]
    if not has_begun:
        assert numbers == [1]
        assert [row.data for row in store.blocks(3)] == [row.data for row in OLD]
        return
    assert numbers == [1, 2]
    assert store.appended() == Checkpoint(2, 2**64 - 2, 1)
    assert list(store.blocks(3)) == []
    assert store.get_block(3) is None
    with pytest.raises(Fenced):
        store.append_blocks(OLD)
    store.append_blocks(NEW[:1])
    assert list(store.blocks(3)) == NEW[:1]
    store.append_blocks(NEW[1:])
    assert list(store.blocks(3)) == NEW


def crashing(store: ScyllaStore, at: int, after: bool) -> Callable[[], int]:
    """The process dies before, or after, request number `at`; gives how many there were."""
    count = 0

    def tripping(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == at and not after:
                raise Crash
            result = method(*arguments, **options)
            if count == at:
                raise Crash
            return result

        return call

    for name in REQUESTS:
        setattr(store._session, name, tripping(getattr(store._session, name)))
    return lambda: count


@pytest.mark.parametrize("after", [False, True])
def test_a_leader_that_dies_anywhere_while_it_begins_may_begin_again(
    new_scylla: Callable[[], ScyllaStore], after: bool
) -> None:
    for at in range(1, 20):
        store = new_scylla()
        leader = another(store)
        count = crashing(leader, at, after)
        try:
            leader.begin_epoch(epoch(1))
        except Crash:
            assert store.epochs() in ([], [epoch(1)])
            store.begin_epoch(epoch(1))
        assert store.epochs() == [epoch(1)], at
        if count() < at:
            return
    raise AssertionError("it never came to its end")


@pytest.mark.parametrize("after", [False, True])
def test_another_leader_takes_over_from_one_that_died_while_it_began(
    new_scylla: Callable[[], ScyllaStore], after: bool
) -> None:
    other = epoch(1, engine="another")
    for at in range(1, 6):
        store = new_scylla()
        leader = another(store)
        crashing(leader, at, after)
        with pytest.raises(Crash):
            leader.begin_epoch(epoch(1))
        if store.epochs():
            with pytest.raises(Fenced):
                store.begin_epoch(other)
            continue
        store.begin_epoch(other)
        assert store.epochs() == [other], at
        with pytest.raises(Fenced):
            another(store).begin_epoch(epoch(1))


@pytest.mark.parametrize(("at", "after"), [*product(range(1, 6), [False, True])])
def test_a_settlement_that_dies_anywhere_while_it_appends_leaves_what_a_leader_can_go_on_from(
    started: ScyllaStore, at: int, after: bool
) -> None:
    appender = another(started)
    count = crashing(appender, at, after)
    try:
        appender.append_blocks(OLD)
    except Crash:
        pass
    else:
        assert count() < at
    head = started.appended().block_number
    assert head in (2, 4)
    if head == 4:
        with pytest.raises(Outrun):
            started.begin_epoch(SECOND)
        judge(started, has_begun=False)
    else:
        started.begin_epoch(SECOND)
        judge(started, has_begun=True)


def test_what_a_reader_was_told_is_not_taken_back_by_an_epoch_that_was_proposed_before(started: ScyllaStore) -> None:
    """The appender died before it looked for epochs, the leader had looked for blocks before that."""
    appender, leader = another(started), another(started)
    applied = leader._fences._apply
    told: list[Checkpoint] = []

    def begin_late(statement: str, values: Sequence[Any]) -> bool:
        if "'begun'" in statement:
            crashing(appender, 4, after=False)  # where it would look for epochs that were proposed meanwhile
            with pytest.raises(Crash):
                appender.append_blocks(OLD)
            told.append(started.appended())
        return applied(statement, values)

    leader._fences._apply = begin_late  # type: ignore[method-assign]
    with pytest.raises(Outrun):
        leader.begin_epoch(SECOND)
    assert told == [started.appended()] == [Checkpoint(4, 2**64 - 4, 1)]


@pytest.mark.parametrize("order", [(OLD, NEW), (NEW, OLD)])
def test_of_two_blocks_of_one_number_the_newer_epochs_stays_whichever_comes_first(
    started: ScyllaStore, order: tuple[list[StoredBlock], list[StoredBlock]]
) -> None:
    started.begin_epoch(SECOND)
    for blocks in order:
        started._fences._put_blocks(blocks)
        last = blocks[-1]
        started._fences._put_head(Checkpoint(last.number, last.hash, last.epoch))
    assert list(started.blocks(3)) == NEW
    assert started.appended() == Checkpoint(4, 78, 2)


@pytest.mark.parametrize("is_first_larger", [True, False])
def test_of_two_copies_of_a_block_of_one_epoch_the_later_one_is_there_whole(
    started: ScyllaStore, monkeypatch: pytest.MonkeyPatch, is_first_larger: bool
) -> None:
    """Replicas of a Kafka topic that differ: settlement is killed with one copy written and not yet counted."""
    copies = [block(3, hash=1, data=b"a", trade_count=9), block(3, hash=2, data=b"b", trade_count=1)]
    one, other = copies[::-1] if is_first_larger else copies
    killed, later = another(started), another(started)
    monkeypatch.setattr(time, "time", lambda: 2_000_000_000.0)
    killed._fences._put_head = crash  # type: ignore[method-assign]
    with pytest.raises(Crash):
        killed.append_blocks([one])
    assert started.appended().block_number == 2
    monkeypatch.setattr(time, "time", lambda: 2_000_000_001.0)
    later.append_blocks([other])
    assert another(started).get_block(3) == other


def crash(checkpoint: Checkpoint) -> None:
    raise Crash
