"""Requests for a rebuild, as a running settlement carries them out."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from settlement.models import RebuildRequest
from settlement.project import rebuild_requests
from settlement.project.dead_letters import DeadLetters
from settlement.project.rebuild_requests import RebuildRequests
from settlement.stores.base import Store, StoreUnavailable
from tests.settlement.conftest import ON_SQL, Settle, tables
from tests.settlement.fakes import FakeClock, feed_of
from tests.settlement.project.test_rebuilding import LAST, damage
from tests.settlement.project.test_rebuilding import settled as settled  # a fixture

State = RebuildRequest.State


def reread() -> RebuildRequest:
    return RebuildRequest.objects.get()


@pytest.mark.parametrize("from_block", [1, LAST // 2])
def test_rows_are_dropped_and_projected_again_by_settlement(
    settled: Store, settle: Settle, folder: Path, clock: FakeClock, from_block: int
) -> None:
    before, requests = tables(settled), RebuildRequests()
    first = settled.get_block(from_block)
    assert first is not None
    damage(settled, first.first_event_sequence)
    for _ in range(2):
        rebuild_requests.ask(7, from_block)
    assert not requests.is_waiting
    requests.look(LAST)
    assert requests.is_waiting
    requests.carry_out(settled, DeadLetters(settled, folder, clock))
    assert not requests.is_waiting
    begun = reread()
    assert (begun.state, begun.to_block, begun.projected) == (State.PROJECTING, LAST, from_block - 1)
    assert rebuild_requests.under_way() == begun
    requests.look(from_block)
    assert (reread().state, reread().projected) == (State.PROJECTING, from_block)
    settle(settled, feed_of(clock, []))
    requests.look(settled.projected().block_number)
    assert reread().state == State.DONE
    assert rebuild_requests.under_way() is None
    assert tables(settled) == before


@ON_SQL
@pytest.mark.parametrize("from_block", [0, LAST + 1])
def test_a_block_that_the_store_lacks_is_refused_and_nothing_is_dropped(
    settled: Store, folder: Path, clock: FakeClock, from_block: int
) -> None:
    before, requests = tables(settled), RebuildRequests()
    rebuild_requests.ask(7, from_block)
    requests.carry_out(settled, DeadLetters(settled, folder, clock))
    assert reread().state == State.REFUSED
    assert reread().refusal == f"The store has blocks 1 to {LAST}: there is no block {from_block}."
    assert tables(settled) == before


@ON_SQL
def test_a_request_waits_while_the_store_is_unavailable(
    settled: Store, folder: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*arguments: object) -> None:
        raise StoreUnavailable("The database is locked.")

    requests, letters = RebuildRequests(), DeadLetters(settled, folder, clock)
    rebuild_requests.ask(7, 1)
    with monkeypatch.context() as patched, capture_logs() as logged:
        patched.setattr(type(settled), "drop_projections", away)
        requests.carry_out(settled, letters)
    assert [line["event"] for line in logged] == ["settlement.rebuild_begun", "settlement.rebuild_postponed"]
    assert (reread().state, requests.is_waiting) == (State.ASKED, False)
    requests.look(LAST)
    assert requests.is_waiting
    requests.carry_out(settled, letters)
    assert reread().state == State.PROJECTING


@ON_SQL
def test_one_after_the_other(settled: Store, settle: Settle, folder: Path, clock: FakeClock) -> None:
    requests, letters = RebuildRequests(), DeadLetters(settled, folder, clock)
    for number in (8, 7):
        rebuild_requests.ask(number, 1)
    requests.carry_out(settled, letters)
    requests.look(0)
    assert requests.is_waiting
    requests.carry_out(settled, letters)
    settle(settled, feed_of(clock, []))
    requests.look(LAST)
    assert set(RebuildRequest.objects.values_list("state", flat=True)) == {State.DONE}
    requests.carry_out(settled, letters)
    assert settled.projected().block_number == LAST, "without a request nothing is dropped"
