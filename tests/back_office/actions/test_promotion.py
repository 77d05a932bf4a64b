"""Promotions against real engines: a follower becomes the leader once, or a sentence says why not."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from django.contrib.auth.models import User

from back_office.actions import carrying_out, requests
from back_office.actions.engine import RealEngine
from back_office.actions.kinds import Kind
from back_office.models import ActionRequest, AuditRecord
from exchange_site.operations.free_addresses import free_zmq_address
from matching.core.errors import NoAnswer
from matching.transport.engine_roles import BEING_PROMOTED, FOLLOWER
from tests.back_office.actions.conftest import asked, reread
from tests.matching import small_exchange
from tests.matching.histories import MemoryHistory
from tests.matching.small_exchange import Running, plan, until

State = ActionRequest.State

pytestmark = pytest.mark.django_db


@dataclass
class Pair:
    leader: Running
    follower: Running

    @property
    def engine(self) -> RealEngine:
        return RealEngine(lambda: self.leader.commands)


@pytest.fixture
def pair() -> Iterator[Pair]:
    with (
        small_exchange.leader(plan()) as leader,
        small_exchange.follower(plan(), leader.commands, MemoryHistory()) as follower,
    ):
        until(lambda: leader.parts.board.followers, "the follower to announce itself")
        yield Pair(leader, follower)


def approved(oscar: User, anna: User, address: str, promotion: str = "forced") -> ActionRequest:
    made = asked(oscar, Kind.PROMOTE_ENGINE, {"address": address, "promotion": promotion})
    requests.approve(made.pk, anna, "Seen.")
    return made


def test_a_follower_leads_after_a_second_person_has_approved(pair: Pair, oscar: User, anna: User) -> None:
    address = pair.follower.commands
    made = asked(oscar, Kind.PROMOTE_ENGINE, {"address": address, "promotion": "forced"})
    assert carrying_out.turn(pair.engine) == 0
    assert pair.follower.parts.board.role == FOLLOWER
    requests.approve(made.pk, anna, "Seen.")
    assert carrying_out.turn(pair.engine) == 1
    done = reread(made)
    assert (done.state, done.answer) == (State.DONE, f"{address} leads from block 1 on, in epoch 1.")
    assert pair.follower.parts.board.role == "leader"
    assert AuditRecord.objects.latest("number").outcome == "done"


def test_a_follower_of_a_live_leader_refuses_unless_it_is_forced(pair: Pair, oscar: User, anna: User) -> None:
    made = approved(oscar, anna, pair.follower.commands, "if_safe")
    assert carrying_out.turn(pair.engine) == 1
    refused = reread(made)
    assert refused.state == State.REJECTED
    assert refused.answer.startswith("The leader is alive, its last message came ")
    assert pair.follower.parts.board.role == FOLLOWER


def test_a_leader_is_not_promoted(pair: Pair, oscar: User, anna: User) -> None:
    made = approved(oscar, anna, pair.leader.commands)
    carrying_out.turn(pair.engine)
    assert (reread(made).state, reread(made).answer) == (State.REJECTED, "This engine leads already.")


def test_an_address_without_an_engine_stops_the_request(pair: Pair, oscar: User, anna: User) -> None:
    address = free_zmq_address()
    made = approved(oscar, anna, address)
    assert carrying_out.turn(pair.engine) == 1
    stopped = reread(made)
    assert (stopped.state, stopped.sendings) == (State.STOPPED, 0)
    assert stopped.answer.startswith(f"No engine answers at {address}")
    assert stopped.answer.endswith("Nothing was sent to the engine.")


def test_a_lost_answer_is_found_by_the_next_sending(
    pair: Pair, oscar: User, anna: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = approved(oscar, anna, pair.follower.commands)
    keep = carrying_out.keep_answer

    def killed(number: int, answer: carrying_out.Answer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(carrying_out, "keep_answer", killed)
    with pytest.raises(KeyboardInterrupt):
        carrying_out.turn(pair.engine)
    monkeypatch.setattr(carrying_out, "keep_answer", keep)
    assert carrying_out.turn(pair.engine) == 1
    assert (reread(made).state, reread(made).sendings) == (State.DONE, 2)
    assert reread(made).answer == f"{pair.follower.commands} leads, in epoch 1."


def test_a_promotion_that_takes_longer_than_the_worker_waits_is_asked_for_again(
    pair: Pair, oscar: User, anna: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine's answers are set here: no real one can be made to need that long."""
    answers: list[Exception | str] = [NoAnswer("It does not answer."), BEING_PROMOTED]

    def slow(self: object, timeout_s: float, *, forced: bool) -> dict[str, object]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return {"ok": False, "message": answer}

    made = approved(oscar, anna, pair.follower.commands)
    with monkeypatch.context() as patched:
        patched.setattr("matching.commandline.promotion.Follower.promote", slow)
        for problem in ("It does not answer. It is sent again until the engine answers.", BEING_PROMOTED):
            assert carrying_out.turn(pair.engine) == 0
            assert (reread(made).state, reread(made).problem) == (State.CARRYING_OUT, problem)
    assert carrying_out.turn(pair.engine) == 1
    assert reread(made).state == State.DONE
