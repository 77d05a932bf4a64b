"""Carries out approved requests, each exactly once, even if the worker is killed between any two steps.

    claim          keeps the number of an engine's client in the row, and nothing is sent before
    connect
    note_sending   checks persons, roles and digest again, and counts the sending
    send           command 1 of that client: the engine applies it once, and answers a repetition from what was done
    keep_answer    together with the record in the audit log

After a kill the next worker repeats from `connect` on, with the same client and the same command.
"""

import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import structlog

from back_office.actions import answers, checks, kinds, metrics, parameters, requests
from back_office.actions.engine import Engine, Follower, Session
from back_office.actions.kinds import TABLE, Kind
from back_office.audit import records
from back_office.audit.codes import Action, Outcome
from back_office.models import ActionRequest
from matching.client.client import Result
from matching.core.clients import new_id
from matching.core.errors import EngineRefused, MatchingError, NoAnswer
from matching.transport import wire
from matching.transport.engine_roles import BEING_PROMOTED, LEADER
from matching.transport.key_register import KeyRole
from settlement.project import rebuild_requests

log = structlog.get_logger(__name__)

State = ActionRequest.State
PROMOTION_TIMEOUT_S = 20.0
"""Time for the follower to catch up. If it needs more, the next turn asks again."""
_LATER = (wire.ENGINE_HALTED, wire.FOLLOWER)
"""Refusals that say nothing about the command: it is sent again."""


class Answer(NamedTuple):
    state: str
    words: str
    code: str = ""
    command_sequence: int | None = None
    block_number: int | None = None


class NotNow(Exception):
    """The engine cannot be asked now; the request stays as it is. The text is one sentence."""


def turn(engine: Engine) -> int:
    """Carries out every request that can be; returns how many have ended."""
    ended = 0
    pending = ActionRequest.objects.filter(state__in=(State.APPROVED, State.CARRYING_OUT)).order_by("id")
    for number in list(pending.values_list("id", flat=True)):
        try:
            ended += carry_out(number, engine)
        except NotNow as error:
            unended = ActionRequest.objects.filter(id=number, state=State.CARRYING_OUT)
            if unended.exclude(problem=str(error)).update(problem=str(error)):
                log.warning("action.postponed", request=number, error=str(error))
    return ended


def carry_out(number: int, engine: Engine) -> bool:
    """Returns whether the request has ended. Raises NotNow."""
    claim(number)
    request = ActionRequest.objects.get(id=number)
    kind = kinds.of(request.kind)
    if request.state != State.CARRYING_OUT:
        return False
    if kind is None or request.client_id is None:
        return _stop(request, "This version cannot carry out such an action.")
    key = TABLE[kind].key
    if key is None:
        return _hand_to_settlement(request)
    try:
        with _reached(engine, request, kind, key) as send:
            if objection := note_sending(number):
                return _stop(request, objection)
            request.refresh_from_db()
            answer = send()
    except MatchingError as error:
        if kind == Kind.PROMOTE_ENGINE and not request.sendings:
            return _stop(request, str(error))  # a promotion that comes hours later would surprise everybody
        again = " It is sent again until the engine answers." if isinstance(error, NoAnswer) else ""
        raise NotNow(f"{error}{again}") from error
    keep_answer(number, answer)
    return True


@contextmanager
def _reached(engine: Engine, request: ActionRequest, kind: Kind, key: KeyRole) -> Iterator[Callable[[], Answer]]:
    """What sends the request to an engine that has answered. Raises MatchingError; then nothing was sent."""
    if kind == Kind.PROMOTE_ENGINE:
        with engine.follower(key, json.loads(request.parameters)["address"]) as follower:
            yield lambda: _promotion(follower, request)
    else:
        assert request.client_id is not None, "claimed"
        with engine.session(key, request.client_id) as session:
            yield lambda: _answer_to(session, request, kind)


def _hand_to_settlement(request: ActionRequest) -> bool:
    """A rebuild of projections: settlement finds it under the number of the request. Raises NotNow until it is done."""
    asked = rebuild_requests.of(request.pk)
    if asked is None:
        if objection := note_sending(request.pk):
            return _stop(request, objection)
        asked = rebuild_requests.ask(request.pk, json.loads(request.parameters)["from_block"])
    if asked.state == rebuild_requests.State.REFUSED:
        keep_answer(request.pk, Answer(str(State.REJECTED), asked.refusal))
    elif asked.state == rebuild_requests.State.DONE:
        words = f"Blocks {asked.from_block} to {asked.to_block} were projected again."
        keep_answer(request.pk, Answer(str(State.DONE), words))
    elif asked.state == rebuild_requests.State.ASKED:
        raise NotNow("It waits for settlement.")
    else:
        raise NotNow("Settlement has dropped the rows, and projects the blocks again.")
    return True


def _promotion(follower: Follower, request: ActionRequest) -> Answer:
    """A promotion is no numbered command, so a repetition looks whether an earlier sending has promoted the engine.

    Raises EngineUnreachable, BadMessage, NotNow, NoAnswer.
    """
    given = json.loads(request.parameters)
    if request.sendings > 1 and follower.status["role"] == LEADER:
        return Answer(str(State.DONE), f"{given['address']} leads, in epoch {follower.status['epoch']}.")
    try:
        decision = follower.promote(PROMOTION_TIMEOUT_S, forced=given["promotion"] == "forced")
    except EngineRefused as error:
        return _refused(error, request.sendings)
    if decision["ok"]:
        words = f"{given['address']} leads from block {decision['block']} on, in epoch {decision['epoch']}."
        return Answer(str(State.DONE), words, block_number=decision["block"])
    if request.sendings > 1 and decision["message"] == BEING_PROMOTED:
        raise NotNow(BEING_PROMOTED)
    return Answer(str(State.REJECTED), str(decision["message"]))


def _answer_to(session: Session, request: ActionRequest, kind: Kind) -> Answer:
    """Raises EngineUnreachable, BadMessage, NotNow."""
    command = parameters.command(kind, json.loads(request.parameters), f"back-office-{request.pk}")
    try:
        return _judged(session.send(command), request.sendings)
    except EngineRefused as error:
        return _refused(error, request.sendings)


def claim(number: int) -> None:
    """Keeps the client's number before anything is sent. Nothing happens if another worker was faster."""
    client_id = new_id(time.time_ns(), secrets.randbits(64))
    ActionRequest.objects.filter(id=number, state=State.APPROVED).update(
        state=State.CARRYING_OUT, client_id=client_id, begun_at_ns=time.time_ns()
    )


def note_sending(number: int) -> str:
    """Counts a sending, or returns why the request must not be sent.

    One that may have been sent before is sent again even if a person has lost a role since: it may have been applied,
    and only the engine knows.
    """
    with records.together():
        request = ActionRequest.objects.select_for_update().get(id=number)
        if request.state != State.CARRYING_OUT:
            return "Another worker has ended it."
        reason = checks.changed(request) if request.sendings else checks.objection(request)
        if not reason:
            request.sendings += 1
            request.problem = ""
            request.save(update_fields=["sendings", "problem"])
        return reason


def keep_answer(number: int, answer: Answer) -> None:
    """Nothing happens if another worker was faster."""
    with records.together():
        changed = ActionRequest.objects.filter(id=number, state=State.CARRYING_OUT).update(
            state=answer.state,
            answer=answer.words,
            answer_code=answer.code,
            command_sequence=answer.command_sequence,
            block_number=answer.block_number,
            problem="",
            ended_at_ns=time.time_ns(),
        )
        if changed:
            request = ActionRequest.objects.get(id=number)
            after = {"state": answer.state, "answer": answer.words, "client": request.client_id}
            if answer.command_sequence is not None:
                after["command"] = answer.command_sequence
            records.append(
                Action.CARRY_OUT,
                outcome=_OUTCOMES[answer.state],
                target=requests.target(number),
                before={"state": str(State.CARRYING_OUT)},
                after=after,
            )
            metrics.ENDED.labels(request.kind, answer.state).inc()
            log.info("action.ended", request=number, kind=request.kind, state=answer.state, code=answer.code)


_OUTCOMES = {
    str(State.DONE): Outcome.DONE,
    str(State.REJECTED): Outcome.REFUSED,
    str(State.STOPPED): Outcome.REFUSED,
    str(State.UNKNOWN): Outcome.FAILED,
}


def _stop(request: ActionRequest, objection: str) -> bool:
    if request.sendings:
        words = f"{objection} It may have been sent before: look whether it was applied."
        keep_answer(request.pk, Answer(str(State.UNKNOWN), words))
    else:
        keep_answer(request.pk, Answer(str(State.STOPPED), f"{objection} Nothing was sent to the engine."))
    return True


def _judged(result: Result, sendings: int) -> Answer:
    if result.forgotten:
        return Answer(
            str(State.UNKNOWN),
            "The engine had received it before, and no longer has its answer: look whether it was applied.",
        )
    if result.rejected is None:
        words = answers.in_words(result.events)
        return Answer(str(State.DONE), words, "", result.command_sequence, result.block_number)
    words = answers.refusal(result.rejected)
    if result.command_sequence is None and sendings > 1:
        return Answer(str(State.UNKNOWN), f"{words} An earlier sending may have been applied.", result.rejected)
    return Answer(str(State.REJECTED), words, result.rejected, result.command_sequence, result.block_number)


def _refused(error: EngineRefused, sendings: int) -> Answer:
    """Raises NotNow."""
    if error.code in _LATER:
        raise NotNow(str(error)) from error
    if sendings == 1:
        return Answer(str(State.REJECTED), f"The engine did not take it: {error}", error.code)
    words = f"The engine does not take it again: {error} An earlier sending may have been applied."
    return Answer(str(State.UNKNOWN), words, error.code)
