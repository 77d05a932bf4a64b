"""One client's connection to whoever leads: numbered batches out, answers in, each command applied once or not at all.

Numbers rise by one without gaps, and the engine takes them in order only. So a batch that was lost, refused while the
engine was halted, or overtaken, is sent again with the same number, and everything after it too; what was applied
before is answered from what was done. So it is with another engine, too: when the one at hand is silent or says that it
follows, or is a replica that stays halted, one that takes commands is looked for among those that are known, and takes
everything under way. Not thread-safe.
"""

import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from matching.client import leaders
from matching.client.question import Question
from matching.core.blocks import Records
from matching.core.errors import BadMessage, EngineRefused, EngineUnreachable, NoAnswer
from matching.transport import wire
from matching.transport.roles import REPLICA, TAKE_COMMANDS
from matching.transport.sockets import AddressUnusable, Kind, Network, Undelivered, ZmqNetwork

WINDOW = 16
"""Batches under way at once: enough to keep the engine busy, few enough for the queues between."""

_ASK_AGAIN_S = 0.5
_HALTED_PAUSE_S = 0.05
_OVERTAKEN_PAUSE_S = 0.02
_BEHIND_PAUSE_S = 0.2
_BELIEVED_TIMES = 3
_BELIEVED_AFTER_S = 2.0
_SILENT_S = 1.0
_HALTED_LONG_S = 1.0
_STATUS_EVERY_S = 2.0
_OWN_QUESTION = b"replicas"  # correlation id, when nobody called `ask`: those are random


class Answered(NamedTuple):
    """An answer, and how long it took from the first sending, in seconds."""

    answer: wire.Answer
    waited_s: float


@dataclass(slots=True)
class _UnderWay:
    payload: bytes
    sent_at_s: float
    refused: wire.Refused | None = None  # what the engine said to the last sending
    sendings: int = 0
    refusals: int = 0

    @property
    def may_be_done(self) -> bool:
        """A sending was not refused: it may be on its way, or in a log from which it comes out later."""
        return self.refusals < self.sendings


class Connection:
    """`client_id` is never 0; with a given one `first_number` follows the last number that it has used."""

    def __init__(
        self,
        engines: leaders.Engines,
        *,
        timeout_s: float = 10.0,
        client_id: int | None = None,
        first_number: int = 1,
        window: int = WINDOW,
        roams: bool = True,
        make_network: Callable[[], Network] = ZmqNetwork,
        clock: Callable[[], float] = time.monotonic,
        token: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """`token` gives so many bytes that nobody guesses. Not to roam: to stay with the first of `engines`.

        Raises AddressUnusable. Whether an engine is there shows with the first question or batch.
        """
        self.known = leaders.known(engines)
        self.address = self.known.addresses[0]
        self.timeout_s = timeout_s
        self._token = token
        self.client_id = client_id or self._random_id()
        self.next_number = first_number
        self._window = window
        self._roams = roams
        self._clock = clock
        self._network = make_network()
        try:
            self._socket = self._network.connect(Kind.DEALER, self.address, wire.READER_LIMITS)
        except AddressUnusable:
            self._network.close()
            raise
        self._under_way: dict[int, _UnderWay] = {}  # by first number, oldest first
        self._ready: list[Answered] = []
        self._question: Question | None = None  # the one that is open
        self._resend_at_s = 0.0
        self._in_doubt = False
        self._heard = False
        self._heard_at_s = clock()  # or when something began to be under way, if that is later
        self._refused_by_follower = False  # since an engine last took something
        self._is_replica = False  # the engine at hand, as far as it has said
        self._halted_since_s: float | None = None  # no answer has come since
        self._answered_up_to = 0
        self._behind = 0  # refusals of the oldest batch in a row by an engine that lacks what was answered
        self._behind_since_s = 0.0
        self._next_status_s = clock()
        self._search: leaders.Search | None = None
        if roams and len(self.known.addresses) > 1:
            self._look_for_leader()

    @property
    def under_way(self) -> int:
        """Batches that were sent and not answered."""
        return len(self._under_way)

    @property
    def full(self) -> bool:
        return len(self._under_way) >= self._window

    def send(self, commands: Records, texts: bytes) -> int:
        """Sends a batch, waits for nothing, and returns the number of its first command.

        After NoAnswer this gives up what is in doubt: it is never sent again, and a new client id is used.
        """
        if self._in_doubt:
            self._renew()
        number = self.next_number
        now_s = self._clock()
        if not self._under_way:
            self._resend_at_s = now_s + _ASK_AGAIN_S
            self._heard_at_s = now_s
        under_way = _UnderWay(wire.encode_batch(self.client_id, number, commands, texts), now_s)
        self._under_way[number] = under_way
        self.next_number += len(commands)
        self._post_batch(under_way)
        return number

    def receive(self, timeout_s: float) -> list[Answered]:
        """Answers that are there; waits at most `timeout_s` for the first.

        Raises NoAnswer when a batch was not answered within this connection's `timeout_s`: whether it was done is not
        known, and `retry` asks again. Raises EngineRefused when the engine will not take one: it and those after it
        were not done; or when the engine that leads now does not have what another one had answered. A batch that was
        sent several times is refused when each sending was: what one engine refuses, another one may have in its log.
        """
        now_s = self._clock()
        deadline_s = now_s + timeout_s
        self._drain()
        self._keep_up(now_s, waiting=False)
        while not self._ready:
            now_s = self._clock()
            self._keep_asking(now_s)
            self._keep_up(now_s, waiting=bool(self._under_way))
            until_s = min(deadline_s, self._resend_at_s) if self._under_way else deadline_s
            if now_s >= deadline_s:
                break
            self._wait(until_s - now_s)
            self._drain()
        ready, self._ready = self._ready, []
        return ready

    def retry(self) -> None:
        """After NoAnswer: sends what is in doubt again, with the same numbers and all its time."""
        now_s = self._clock()
        self._in_doubt = False
        for under_way in self._under_way.values():
            under_way.sent_at_s = now_s
        self._resend(now_s)

    def ask(self, verb: bytes, timeout_s: float | None = None) -> dict[str, Any]:
        """The engine's answer to a question: a verb of `wire.QUESTIONS` or `wire.PROMOTIONS`.

        `timeout_s`: another one than the connection's. Raises EngineUnreachable or NoAnswer, BadMessage; EngineRefused
        where the engine says that it cannot tell now.
        """
        self._heard_at_s = self._clock()
        deadline_s = self._heard_at_s + (timeout_s or self.timeout_s)
        # While it is being found out who leads, that one is waited for a little rather than another one asked.
        self._listen_until(min(deadline_s, self._heard_at_s + _SILENT_S), lambda: self._search is None)
        question = self._question = Question(verb, self._token)
        try:
            while question.answer is None and (now_s := self._clock()) < deadline_s:
                self._post(*question.to_send(self.address))
                is_done = partial(self._is_answered_or_left, question, self.address)
                self._listen_until(min(deadline_s, now_s + _ASK_AGAIN_S), is_done)
        finally:
            self._question = None
        if question.answer is None:
            raise self._silence()
        answer = wire.decode_json(question.answer)
        if "unavailable" in answer:
            raise EngineRefused(wire.ENGINE_HALTED, str(answer["unavailable"]))
        return answer

    def close(self) -> None:
        self._end_search()
        self._socket.close()
        self._network.close()

    def _listen_until(self, until_s: float, is_done: Callable[[], bool]) -> None:
        """For a question: hears what comes until then, or until it is done."""
        while not is_done() and (now_s := self._clock()) < until_s:
            self._keep_up(now_s, waiting=True)
            if not is_done():
                self._wait(until_s - now_s)
                self._drain()

    def _is_answered_or_left(self, question: Question, address: str) -> bool:
        return question.answer is not None or self.address != address

    def _wait(self, seconds: float) -> None:
        if self._search is None:
            self._network.wait((self._socket,), seconds)
        else:
            due_s = max(0.0, self._search.due_s - self._clock())
            self._network.wait((self._socket, *self._search.sockets), min(seconds, due_s))

    def _post(self, verb: bytes, payload: bytes) -> None:
        with suppress(Undelivered):  # nobody takes from the queue, which is full: sent again when it is time
            self._socket.send(verb, payload)

    def _post_batch(self, under_way: _UnderWay) -> None:
        with suppress(Undelivered):
            self._socket.send(wire.COMMANDS, under_way.payload)
            under_way.sendings += 1

    # Who leads

    def _keep_up(self, now_s: float, *, waiting: bool) -> None:
        """Learns who else is there while all is well; looks for who leads once the engine is silent."""
        if not self._roams:
            return
        if now_s >= self._next_status_s:
            self._next_status_s = now_s + _STATUS_EVERY_S
            self._post(wire.STATUS, _OWN_QUESTION)
        silent_s = self._question.silent_s if self._question else _SILENT_S
        if waiting and now_s - self._heard_at_s > silent_s and len(self.known.addresses) > 1:
            self._look_for_leader()
        leader = self._search and self._search.look()
        if leader:
            self._end_search()
            self.known.epoch = max(self.known.epoch, leader.epoch)
            self._go_to(leader.address)

    def _look_for_leader(self) -> None:
        if self._search is None:
            self._search = leaders.Search(self._network, self.known, self._clock)

    def _end_search(self) -> None:
        if self._search is not None:
            self._search.close()
            self._search = None

    def _go_to(self, address: str) -> None:
        """Everything under way goes to this engine from now on; to the one at hand, it goes again."""
        now_s = self._clock()
        if address != self.address:
            socket = self._network.connect(Kind.DEALER, address, wire.READER_LIMITS)
            self._socket.close()
            self._socket, self.address = socket, address
            self._next_status_s = now_s
        self._heard_at_s = now_s
        self._behind = 0
        self._halted_since_s = None
        self._resend(now_s)

    def _learn(self, payload: bytes) -> None:
        """From the status of the engine at hand."""
        with suppress(BadMessage):
            status = wire.decode_status(payload)
            self.known.learn(leaders.replicas(status, self.address))
            self._is_replica = status.role == REPLICA
            if status.role in TAKE_COMMANDS:
                if status.epoch < self.known.epoch:
                    self._look_for_leader()
                self.known.epoch = max(self.known.epoch, status.epoch)

    # What comes in

    def _drain(self) -> None:
        while (frames := self._socket.receive()) is not None:
            self._heard = True
            self._heard_at_s = self._clock()
            if frames[0] == wire.ANSWER and len(frames) > 1:
                self._take_answer(wire.decode_answer(wire.joined(frames[1:])))
            elif frames[0] == wire.REFUSED and len(frames) == 2:
                self._take_refusal(wire.decode_refused(frames[1]))
            elif len(frames) == 3 and frames[2] == _OWN_QUESTION:
                self._learn(frames[1])
            elif len(frames) == 3 and self._question is not None:
                self._question.take(frames[1], frames[2])

    def _take_answer(self, answer: wire.Answer) -> None:
        if answer.client != self.client_id:
            return
        self._behind = 0
        self._refused_by_follower = False
        self._halted_since_s = None
        under_way = self._under_way.pop(answer.first_number, None)
        if under_way is not None:  # else it was asked for twice and answered twice
            now_s = self._clock()
            self._ready.append(Answered(answer, now_s - under_way.sent_at_s))
            self._answered_up_to = max(self._answered_up_to, answer.first_number + answer.command_count - 1)
            self._resend_at_s = max(self._resend_at_s, now_s + _ASK_AGAIN_S)

    def _take_refusal(self, refused: wire.Refused) -> None:
        under_way = self._under_way.get(refused.first_number)
        if refused.client != self.client_id or under_way is None:
            return
        under_way.refusals += 1
        if refused.code == wire.FOLLOWER and self._roams:
            self._leave_follower(refused)
            return
        under_way.refused = refused
        oldest = next(iter(self._under_way))
        if refused.code == wire.ENGINE_HALTED:
            self._resend_at_s = self._clock() + _HALTED_PAUSE_S
            self._consider_another_replica()
        elif refused.code == wire.BAD_MESSAGE and self._is_replica and under_way.may_be_done:
            self._leave_in_doubt(refused)  # judged by what it knew there: at another place in the log it may be good
        elif refused.code != wire.OUT_OF_ORDER:
            self._give_up(refused)
        elif oldest <= refused.applied_number + 1:
            self._resend_at_s = min(self._resend_at_s, self._clock() + _OVERTAKEN_PAUSE_S)
        elif refused.first_number == oldest:
            self._handle_lost_commands(refused)

    def _leave_follower(self, refused: wire.Refused) -> None:
        """To the leader that it names, if it does; a search that is under way asks that one, too."""
        self._refused_by_follower = True
        leader = refused.leader
        if leader:
            self.known.learn((leader,))
        if not leader or leader == self.address:
            self._look_for_leader()
        elif self._search is None:
            try:
                self._go_to(leader)
            except AddressUnusable:
                self._look_for_leader()

    def _consider_another_replica(self) -> None:
        """While this one is halted: the others read the same log, and may be ahead of it."""
        if self._halted_since_s is None:
            self._halted_since_s = self._clock()
        is_long = self._clock() - self._halted_since_s > _HALTED_LONG_S
        if is_long and self._is_replica and self._roams and len(self.known.addresses) > 1:
            self._look_for_leader()

    def _handle_lost_commands(self, refused: wire.Refused) -> None:
        """Believed when it is said again and again, and nothing is answered: one may have been long under way."""
        now_s = self._clock()
        if not self._behind:
            self._behind_since_s = now_s
        self._behind += 1
        if self._behind < _BELIEVED_TIMES or now_s < self._behind_since_s + _BELIEVED_AFTER_S:
            self._resend_at_s = min(self._resend_at_s, now_s + _BEHIND_PAUSE_S)
            return
        if refused.applied_number < self._answered_up_to:
            message = (
                f"The engine at {self.address} has this client's commands up to {refused.applied_number}, and those up "
                f"to {self._answered_up_to} were answered by an engine that led before: what came after "
                f"{refused.applied_number} is lost, and nothing sent since was done."
            )
            self._give_up(wire.Refused(refused.code, message))
        self._give_up(refused)

    def _keep_asking(self, now_s: float) -> None:
        """Sends everything under way again when it is time, oldest first; gives up when the oldest had its time."""
        if not self._under_way:
            return
        oldest = next(iter(self._under_way.values()))
        if now_s >= oldest.sent_at_s + self.timeout_s:
            # Out of order it was when something before it was missing, which may have been answered since.
            if oldest.refused is not None and oldest.refused.code != wire.OUT_OF_ORDER:
                if oldest.may_be_done:
                    self._leave_in_doubt(oldest.refused)
                self._give_up(oldest.refused)
            self._in_doubt = True
            raise self._silence()
        if now_s >= self._resend_at_s:
            self._resend(now_s)

    def _resend(self, now_s: float) -> None:
        self._resend_at_s = now_s + _ASK_AGAIN_S
        for under_way in self._under_way.values():
            under_way.refused = None
            self._post_batch(under_way)

    def _leave_in_doubt(self, refused: wire.Refused) -> None:
        self._in_doubt = True
        raise NoAnswer(
            f"The engine at {self.address} refused the batch, and nobody has answered an earlier sending of it, which "
            f"may still be done: {refused.message}"
        )

    def _give_up(self, refused: wire.Refused) -> None:
        self._renew()
        raise EngineRefused(refused.code, refused.message)

    def _renew(self) -> None:
        """A new client id: numbers that were used are never given to other commands."""
        self._under_way.clear()
        self._in_doubt = False
        self._answered_up_to = self._behind = 0
        self.client_id = self._random_id()
        self.next_number = 1

    def _silence(self) -> EngineUnreachable:
        if self._refused_by_follower:
            return NoAnswer(f"Of the engines at {self.known} none leads: promote one, or start the leader again.")
        if self._heard:
            return NoAnswer(f"The engine at {self.address} did not answer within {self.timeout_s:g} s.")
        where = self.known if self._roams else self.address
        return EngineUnreachable(f"No engine answers at {where}: start it, or name another address.")

    def _random_id(self) -> int:
        number = int.from_bytes(self._token(8), "little") or 1
        return number if number < wire.FIRST_LOG_CLIENT else number - wire.FIRST_LOG_CLIENT + 1
