"""Rebuilds of projections: the worker of actions hands them to settlement, and tells what came of it."""

import pytest
from django.contrib.auth.models import User

from back_office.actions import carrying_out
from back_office.actions.engine import RealEngine
from back_office.actions.kinds import Kind
from back_office.models import ActionRequest, AuditRecord
from settlement.models import RebuildRequest
from tests.back_office.actions.conftest import asked, reread

State = ActionRequest.State
Rebuild = RebuildRequest.State

pytestmark = pytest.mark.django_db

ENGINE = RealEngine(lambda: "")
"""Not used: no engine is asked."""


def test_it_is_handed_over_once_and_done_when_settlement_says_so(oscar: User) -> None:
    made = asked(oscar, Kind.REBUILD_PROJECTIONS, {"from_block": 3})
    for _ in range(2):
        assert carrying_out.turn(ENGINE) == 0
        handed = RebuildRequest.objects.get()
        assert (handed.number, handed.from_block, handed.state) == (made.pk, 3, Rebuild.ASKED)
        assert (reread(made).problem, reread(made).sendings) == ("It waits for settlement.", 1)
    RebuildRequest.objects.update(state=Rebuild.PROJECTING, to_block=9)
    assert carrying_out.turn(ENGINE) == 0
    assert reread(made).problem == "Settlement has dropped the rows, and projects the blocks again."
    RebuildRequest.objects.update(state=Rebuild.DONE)
    assert carrying_out.turn(ENGINE) == 1
    assert (reread(made).state, reread(made).answer) == (State.DONE, "Blocks 3 to 9 were projected again.")
    assert AuditRecord.objects.latest("number").outcome == "done"


def test_a_refusal_of_settlement_is_told(oscar: User) -> None:
    made = asked(oscar, Kind.REBUILD_PROJECTIONS, {"from_block": 3})
    carrying_out.turn(ENGINE)
    RebuildRequest.objects.update(state=Rebuild.REFUSED, refusal="There is no block 3.")
    assert carrying_out.turn(ENGINE) == 1
    assert (reread(made).state, reread(made).answer) == (State.REJECTED, "There is no block 3.")


def test_nothing_is_handed_over_for_somebody_who_lost_the_role(oscar: User) -> None:
    made = asked(oscar, Kind.REBUILD_PROJECTIONS, {"from_block": 1})
    oscar.user_permissions.clear()
    assert carrying_out.turn(ENGINE) == 1
    assert reread(made).state == State.STOPPED
    assert not RebuildRequest.objects.exists()
