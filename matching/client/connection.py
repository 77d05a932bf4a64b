"""A client's connection to the leader: sends numbered batches, receives answers. A command is applied at most once.

Command numbers increase by one without gaps, and the engine applies them only in this order. A batch that was lost,
refused by a halted engine, or overtaken is sent again with the same number, followed by all batches after it. The
engine answers commands that it has already applied from its ring.

A client id that the engine has forgotten, because it was idle for long, is replaced by a new one. If a batch in flight
may have been applied under the old id, its outcome is unknown, and the caller is told so.

If the current engine is silent, is a follower, or is a replica that stays halted, the connection searches the known
engines for one that takes commands, and sends all batches in flight to it. Not thread-safe.
"""

import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from matching.client import leaders
from matching.client.in_flight import Answered, ClientIds, InFlight, LostCommands, Requests
from matching.client.question import Question
from matching.core.blocks import Records
from matching.core.clients import WINDOW
from matching.core.errors import BadMessage, EngineRefused, EngineUnreachable, NoAnswer
from matching.transport import wire
from matching.transport.engine_roles import REPLICA, TAKE_COMMANDS
from matching.transport.network import ZmqNetwork
from matching.transport.parts import joined
from matching.transport.sockets import AddressUnusable, Kind, Network, Undelivered

_RESEND_S = 0.5
_REFUSED_LATER = frozenset((wire.NOT_PERMITTED, wire.FOLLOWER))
"""A batch can be refused with these codes after an earlier sending of it was applied."""
_HALTED_PAUSE_S = 0.05
_OVERTAKEN_PAUSE_S = 0.02
_BEHIND_PAUSE_S = 0.2
_SILENT_S = 1.0
_HALTED_LONG_S = 1.0
_STATUS_INTERVAL_S = 2.0
_REFUSED_IDS = (wire.CLIENT_FORGOTTEN, wire.CLIENT_OF_ANOTHER_KEY)
_STATUS_CORRELATION = b"followers"  # of the connection's own status requests; those of `ask` are random


class Connection:
    """If `client_id` is given, it is not 0, and is not replaced when the engine refuses it.

    Then `first_number` must follow the last number that it has used. At most `window` batches are sent from the oldest
    one in flight on.
    """

    def __init__(
        self,
        engines: leaders.Engines,
        *,
        timeout_s: float = 10.0,
        client_id: int | None = None,
        first_number: int = 1,
        window: int = WINDOW,
        failover: bool = True,
        make_network: Callable[[], Network] = ZmqNetwork,
        clock: Callable[[], float] = time.monotonic,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        time_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """`random_bytes(n)` returns n unpredictable bytes; `time_ns` is for client ids.

        With `failover=False` only the first of `engines` is used.

        Raises AddressUnusable. An unreachable engine is noticed at the first question or batch.
        """
        self.directory = leaders.engine_directory(engines)
        self.address = self.directory.addresses[0]
        self.timeout_s = timeout_s
        self._random_bytes = random_bytes
        self._requests = Requests(ClientIds(client_id, random_bytes, time_ns), first_number, window)
        self._failover = failover
        self._clock = clock
        self._network = make_network()
        try:
            self._socket = self._network.connect(Kind.DEALER, self.address, wire.READER_LIMITS)
        except AddressUnusable:
            self._network.close()
            raise
        self._ready: list[Answered] = []
        self._question: Question | None = None  # the one that `ask` waits for
        self._resend_at_s = 0.0
        self._in_doubt = False
        self._has_received = False
        self._received_at_s = clock()  # of the last message; or the time of the first batch in flight, if later
        self._refused_by_follower = False  # since the last answer
        self._is_replica = False  # the current engine, by its last status
        self._halted_since_s: float | None = None  # reset by every answer
        self._lost = LostCommands()
        self._next_status_s = clock()
        self._search: leaders.LeaderSearch | None = None
        if failover and len(self.directory.addresses) > 1:
            self._search_leader()

    @property
    def client_id(self) -> int:
        return self._requests.ids.current

    @property
    def next_number(self) -> int:
        """Number of the first command of the next batch."""
        return self._requests.next_number

    @property
    def in_flight(self) -> int:
        """Number of batches that were sent and not answered."""
        return len(self._requests)

    @property
    def full(self) -> bool:
        """Whether an answer must be received before the next batch is sent."""
        return self._requests.is_full and not self._in_doubt  # those in doubt are abandoned by the next one

    def send(self, commands: Records, texts: bytes) -> int:
        """Sends a batch without waiting, and returns the number of its first command. Not while `full`.

        After NoAnswer this abandons the batches in doubt: they are never sent again, and a new client id is used.
        """
        if self._in_doubt:
            self._start_new_client()
        number, now_s = self.next_number, self._clock()
        if not self.in_flight:
            self._resend_at_s = now_s + _RESEND_S
            self._received_at_s = now_s
        self._post_batch(self._requests.add(commands, texts, now_s))
        return number

    def receive(self, timeout_s: float) -> list[Answered]:
        """Answers that have arrived; waits at most `timeout_s` for the first.

        Raises NoAnswer if a batch was not answered within this connection's `timeout_s`: it is unknown whether it was
        applied, and `retry` sends it again. Raises EngineRefused if the engine refuses a batch, in which case it and
        those after it were not applied, or if the new leader lacks commands that an earlier leader answered. A batch
        that was sent several times counts as refused only if every sending was refused, because another replica may
        have written it to the log, or the engine may have applied it before the key was revoked.
        """
        now_s = self._clock()
        deadline_s = now_s + timeout_s
        self._drain()
        self._update_leader(now_s, waiting=False)
        while not self._ready:
            now_s = self._clock()
            self._resend_or_time_out(now_s)
            self._update_leader(now_s, waiting=self.in_flight > 0)
            until_s = min(deadline_s, self._resend_at_s) if self.in_flight else deadline_s
            if now_s >= deadline_s:
                break
            self._wait(until_s - now_s)
            self._drain()
        ready, self._ready = self._ready, []
        return ready

    def retry(self) -> None:
        """After NoAnswer: sends the batches in doubt again, with the same numbers and a new timeout."""
        now_s = self._clock()
        self._in_doubt = False
        for batch in self._requests.batches:
            batch.sent_at_s = now_s
        self._resend(now_s)

    def ask(self, verb: bytes, timeout_s: float | None = None) -> dict[str, Any]:
        """The engine's answer to a question: a verb of `wire.QUESTIONS` or `wire.PROMOTIONS`.

        `timeout_s` replaces the connection's timeout. Raises EngineUnreachable, NoAnswer, BadMessage; EngineRefused if
        the engine cannot answer now.
        """
        self._received_at_s = self._clock()
        deadline_s = self._received_at_s + (timeout_s or self.timeout_s)
        # During a search for the leader, wait a little for its result rather than ask an engine that does not lead.
        self._listen_until(min(deadline_s, self._received_at_s + _SILENT_S), lambda: self._search is None)
        question = self._question = Question(verb, self._random_bytes)
        try:
            while not question.is_done and (now_s := self._clock()) < deadline_s:
                self._post(*question.to_send(self.address))
                until_s = min(deadline_s, now_s + _RESEND_S)
                self._listen_until(until_s, lambda: question.is_done_or_left(self.address))
        finally:
            self._question = None
        answer = question.result()
        if answer is None:
            raise self._timeout_error()
        return answer

    def close(self) -> None:
        self._end_search()
        self._socket.close()
        self._network.close()

    def _listen_until(self, until_s: float, is_done: Callable[[], bool]) -> None:
        """Receives messages until then, or until `is_done()`."""
        while not is_done() and (now_s := self._clock()) < until_s:
            self._update_leader(now_s, waiting=True)
            if not is_done():
                self._wait(until_s - now_s)
                self._drain()

    def _wait(self, seconds: float) -> None:
        if self._search is None:
            self._network.wait((self._socket,), seconds)
        else:
            due_s = max(0.0, self._search.due_s - self._clock())
            self._network.wait((self._socket, *self._search.sockets), min(seconds, due_s))

    def _post(self, verb: bytes, payload: bytes) -> None:
        with suppress(Undelivered):  # the queue is full because nobody reads from it: sent again later
            self._socket.send(verb, payload)

    def _post_batch(self, batch: InFlight) -> None:
        with suppress(Undelivered):
            self._socket.send(wire.COMMANDS, batch.payload)
            batch.sendings += 1

    # Finding the leader

    def _update_leader(self, now_s: float, *, waiting: bool) -> None:
        """Asks for the other engines' addresses now and then; searches for the leader if the engine is silent."""
        if not self._failover:
            return
        if now_s >= self._next_status_s:
            self._next_status_s = now_s + _STATUS_INTERVAL_S
            self._post(wire.STATUS, _STATUS_CORRELATION)
        silent_s = self._question.silent_s if self._question else _SILENT_S
        if waiting and now_s - self._received_at_s > silent_s and len(self.directory.addresses) > 1:
            self._search_leader()
        leader = self._search and self._search.poll()
        if leader:
            self._end_search()
            self.directory.epoch = max(self.directory.epoch, leader.epoch)
            self._switch_to(leader.address)

    def _search_leader(self) -> None:
        if self._search is None:
            self._search = leaders.LeaderSearch(self._network, self.directory, self._clock)

    def _end_search(self) -> None:
        if self._search is not None:
            self._search.close()
            self._search = None

    def _switch_to(self, address: str) -> None:
        """Connects to this engine, if it is not the current one, and sends it all batches in flight."""
        now_s = self._clock()
        if address != self.address:
            socket = self._network.connect(Kind.DEALER, address, wire.READER_LIMITS)
            self._socket.close()
            self._socket, self.address = socket, address
            self._next_status_s = now_s
        self._received_at_s = now_s
        self._lost.clear()
        self._halted_since_s = None
        self._resend(now_s)

    def _handle_status(self, payload: bytes) -> None:
        """Takes addresses, role and epoch from a status of the current engine."""
        with suppress(BadMessage):
            status = wire.decode_status(payload)
            self.directory.add(leaders.follower_addresses(status, self.address))
            self._is_replica = status.role == REPLICA
            if status.role in TAKE_COMMANDS:
                if status.epoch < self.directory.epoch:
                    self._search_leader()
                self.directory.epoch = max(self.directory.epoch, status.epoch)

    # Receiving

    def _drain(self) -> None:
        while (frames := self._socket.receive()) is not None:
            self._has_received = True
            self._received_at_s = self._clock()
            if frames[0] == wire.ANSWER and len(frames) > 1:
                self._take_answer(wire.decode_answer(joined(frames[1:])))
            elif frames[0] == wire.REFUSED and len(frames) == 2:
                self._take_refusal(wire.decode_refused(frames[1]))
            elif frames[0] == wire.REFUSED and len(frames) == 3 and self._question is not None:
                self._question.take_refusal(frames[1], frames[2])
            elif len(frames) == 3 and frames[2] == _STATUS_CORRELATION:
                self._handle_status(frames[1])
            elif len(frames) == 3 and self._question is not None:
                self._question.take(frames[1], frames[2])

    def _take_answer(self, answer: wire.Answer) -> None:
        if answer.client != self.client_id:
            return
        self._lost.clear()
        self._refused_by_follower = False
        self._halted_since_s = None
        now_s = self._clock()
        answered = self._requests.take(answer, now_s)
        if answered is not None:
            self._ready.append(answered)
            self._resend_at_s = max(self._resend_at_s, now_s + _RESEND_S)

    def _take_refusal(self, refused: wire.Refused) -> None:
        batch = self._requests.get(refused.first_number)
        if refused.client != self.client_id or batch is None:
            return
        batch.refusals += 1
        if refused.code == wire.FOLLOWER and self._failover:
            self._leave_follower(refused)
            return
        batch.refused = refused
        oldest = self._requests.oldest_number
        if refused.code == wire.ENGINE_HALTED:
            self._resend_at_s = self._clock() + _HALTED_PAUSE_S
            self._leave_halted_replica()
        elif refused.code in _REFUSED_IDS:
            self._replace_id(refused)
        elif refused.code == wire.BAD_MESSAGE and self._is_replica and batch.may_be_applied:
            self._leave_in_doubt(refused)  # at another place in the log, with other reference data, it may be valid
        elif refused.code in _REFUSED_LATER and batch.may_be_applied:
            return  # an earlier sending may still be answered; `_resend_or_time_out` ends the wait
        elif refused.code != wire.OUT_OF_ORDER:
            self._give_up(refused)
        elif oldest <= refused.applied_number + 1:
            self._resend_at_s = min(self._resend_at_s, self._clock() + _OVERTAKEN_PAUSE_S)
        elif refused.first_number == oldest:
            self._handle_lost_commands(refused)

    def _leave_follower(self, refused: wire.Refused) -> None:
        """Switches to the leader that the follower names. Searches if it names none, or if a search is running."""
        self._refused_by_follower = True
        leader = refused.leader
        if leader:
            self.directory.add((leader,))
        if not leader or leader == self.address:
            self._search_leader()
        elif self._search is None:
            try:
                self._switch_to(leader)
            except AddressUnusable:
                self._search_leader()

    def _replace_id(self, refused: wire.Refused) -> None:
        """Sends the batches in flight with a new client id, once it is certain that none of them was applied.

        As long as one may be applied, its answer or refusal is waited for.
        """
        if any(batch.may_be_applied for batch in self._requests.batches):
            return
        if self._requests.ids.is_given:
            self._give_up(refused)
        self._requests.renumber(above=refused.floor)
        self._lost.clear()
        self._resend(self._clock())

    def _leave_halted_replica(self) -> None:
        """Searches for another replica if this one stays halted: it reads the same log and may not be halted."""
        if self._halted_since_s is None:
            self._halted_since_s = self._clock()
        is_long = self._clock() - self._halted_since_s > _HALTED_LONG_S
        if is_long and self._is_replica and self._failover and len(self.directory.addresses) > 1:
            self._search_leader()

    def _handle_lost_commands(self, refused: wire.Refused) -> None:
        """Gives up when the engine certainly lacks commands; until then sends the batches again."""
        now_s = self._clock()
        if not self._lost.is_certain_after_refusal(now_s):
            self._resend_at_s = min(self._resend_at_s, now_s + _BEHIND_PAUSE_S)
            return
        answered_up_to = self._requests.answered_up_to
        if refused.applied_number < answered_up_to:
            message = (
                f"The engine at {self.address} has this client's commands up to {refused.applied_number}, and those up "
                f"to {answered_up_to} were answered by an earlier leader: the commands after "
                f"{refused.applied_number} are lost, and none that were sent since have been applied."
            )
            self._give_up(wire.Refused(refused.code, message))
        self._give_up(refused)

    def _resend_or_time_out(self, now_s: float) -> None:
        """Sends all batches in flight again when it is time, oldest first. Raises when the oldest has timed out."""
        if not self.in_flight:
            return
        oldest = self._requests.oldest
        if now_s >= oldest.sent_at_s + self.timeout_s:
            # OUT_OF_ORDER says nothing about the oldest batch: the batch that was missing may have been answered since.
            if oldest.refused is not None and oldest.refused.code != wire.OUT_OF_ORDER:
                if oldest.may_be_applied:
                    self._leave_in_doubt(oldest.refused)
                self._give_up(oldest.refused)
            self._in_doubt = True
            raise self._timeout_error()
        if now_s >= self._resend_at_s:
            self._resend(now_s)

    def _resend(self, now_s: float) -> None:
        self._resend_at_s = now_s + _RESEND_S
        for batch in self._requests.batches:
            batch.refused = None
            self._post_batch(batch)

    def _leave_in_doubt(self, refused: wire.Refused) -> None:
        self._in_doubt = True
        raise NoAnswer(
            f"The engine at {self.address} refused the batch, but an earlier sending of it is unanswered and may still "
            f"be applied: {refused.message}",
            refused.code,
        )

    def _give_up(self, refused: wire.Refused) -> None:
        self._start_new_client()
        raise EngineRefused(refused.code, refused.message)

    def _start_new_client(self) -> None:
        self._in_doubt = False
        self._lost.clear()
        self._requests.begin_again()

    def _timeout_error(self) -> EngineUnreachable:
        if self._refused_by_follower:
            return NoAnswer(f"None of the engines at {self.directory} leads: promote one, or start the leader again.")
        if self._socket.problem:
            return EngineUnreachable(self._socket.problem)
        if self._has_received:
            return NoAnswer(f"The engine at {self.address} did not answer within {self.timeout_s:g} s.")
        where = self.directory if self._failover else self.address
        return EngineUnreachable(f"No engine answers at {where}: start it, or name another address.")
