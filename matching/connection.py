"""One client's connection to an engine: numbered batches out, answers in, each command applied once or not at all.

Numbers rise by one without gaps, and the engine takes them in order only. So a batch that was lost, refused while the
engine was halted, or overtaken, is sent again with the same number, and everything after it too; what was applied
before is answered from what was done. Not thread-safe.
"""

import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from matching import wire
from matching.blocks import Records
from matching.errors import EngineRefused, EngineUnreachable, NoAnswer
from matching.sockets import AddressUnusable, Kind, Network, Undelivered, ZmqNetwork

WINDOW = 16
"""Batches under way at once: enough to keep the engine busy, few enough for the queues between."""

_ASK_AGAIN_S = 0.5
_HALTED_PAUSE_S = 0.05
_OVERTAKEN_PAUSE_S = 0.02


class Answered(NamedTuple):
    """An answer, and how long it took from the first sending, in seconds."""

    answer: wire.Answer
    waited_s: float


@dataclass(slots=True)
class _UnderWay:
    payload: bytes
    sent_at_s: float
    refused: wire.Refused | None = None  # what the engine said to the last sending


class Connection:
    """`client_id` is never 0; with a given one `first_number` follows the last number that it has used."""

    def __init__(
        self,
        address: str,
        *,
        timeout_s: float = 10.0,
        client_id: int | None = None,
        first_number: int = 1,
        window: int = WINDOW,
        make_network: Callable[[], Network] = ZmqNetwork,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises AddressUnusable. Whether an engine is there shows with the first question or batch."""
        self.address = address
        self.timeout_s = timeout_s
        self.client_id = client_id or _random_id()
        self.next_number = first_number
        self._window = window
        self._clock = clock
        self._network = make_network()
        try:
            self._socket = self._network.connect(Kind.DEALER, address, wire.READER_LIMITS)
        except AddressUnusable:
            self._network.close()
            raise
        self._under_way: dict[int, _UnderWay] = {}  # by first number, oldest first
        self._ready: list[Answered] = []
        self._answers: dict[bytes, bytes] = {}  # to the question that is open, by correlation id
        self._resend_at_s = 0.0
        self._in_doubt = False
        self._heard = False

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
        under_way = _UnderWay(wire.encode_batch(self.client_id, number, commands, texts), now_s)
        self._under_way[number] = under_way
        self.next_number += len(commands)
        self._post(wire.COMMANDS, under_way.payload)
        return number

    def receive(self, timeout_s: float) -> list[Answered]:
        """Answers that are there; waits at most `timeout_s` for the first.

        Raises NoAnswer when a batch was not answered within this connection's `timeout_s`: whether it was done is not
        known, and `retry` asks again. Raises EngineRefused when the engine will not take one: it and those after it
        were not done.
        """
        deadline_s = self._clock() + timeout_s
        self._drain()
        while not self._ready:
            now_s = self._clock()
            self._keep_asking(now_s)
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

    def ask(self, verb: bytes) -> dict[str, Any]:
        """The engine's answer to one of `wire.QUESTIONS`. Raises EngineUnreachable or NoAnswer, BadMessage."""
        correlation = secrets.token_bytes(8)
        deadline_s = self._clock() + self.timeout_s
        self._answers.clear()
        while (now_s := self._clock()) < deadline_s:
            self._post(verb, correlation)
            again_s = min(deadline_s, now_s + _ASK_AGAIN_S)
            while correlation not in self._answers and (left_s := again_s - self._clock()) > 0:
                self._wait(left_s)
                self._drain()
            if correlation in self._answers:
                return wire.decode_json(self._answers.pop(correlation))
        raise self._silence()

    def close(self) -> None:
        self._socket.close()
        self._network.close()

    def _wait(self, seconds: float) -> None:
        self._network.wait((self._socket,), seconds)

    def _post(self, verb: bytes, payload: bytes) -> None:
        with suppress(Undelivered):  # nobody takes from the queue, which is full: sent again when it is time
            self._socket.send(verb, payload)

    def _drain(self) -> None:
        while (frames := self._socket.receive()) is not None:
            self._heard = True
            if frames[0] == wire.ANSWER and len(frames) == 2:
                self._take_answer(wire.decode_answer(frames[1]))
            elif frames[0] == wire.REFUSED and len(frames) == 2:
                self._take_refusal(wire.decode_refused(frames[1]))
            elif len(frames) == 3:
                self._answers[frames[2]] = frames[1]

    def _take_answer(self, answer: wire.Answer) -> None:
        if answer.client != self.client_id:
            return
        under_way = self._under_way.pop(answer.first_number, None)
        if under_way is not None:  # else it was asked for twice and answered twice
            now_s = self._clock()
            self._ready.append(Answered(answer, now_s - under_way.sent_at_s))
            self._resend_at_s = max(self._resend_at_s, now_s + _ASK_AGAIN_S)

    def _take_refusal(self, refused: wire.Refused) -> None:
        under_way = self._under_way.get(refused.first_number)
        if refused.client != self.client_id or under_way is None:
            return
        under_way.refused = refused
        oldest = next(iter(self._under_way))
        if refused.code == wire.ENGINE_HALTED:
            self._resend_at_s = self._clock() + _HALTED_PAUSE_S
        elif refused.code == wire.OUT_OF_ORDER and oldest <= refused.applied_number + 1:
            self._resend_at_s = min(self._resend_at_s, self._clock() + _OVERTAKEN_PAUSE_S)
        else:
            self._give_up(refused)

    def _keep_asking(self, now_s: float) -> None:
        """Sends everything under way again when it is time, oldest first; gives up when the oldest had its time."""
        if not self._under_way:
            return
        oldest = next(iter(self._under_way.values()))
        if now_s >= oldest.sent_at_s + self.timeout_s:
            if oldest.refused is not None:
                self._give_up(oldest.refused)
            self._in_doubt = True
            raise self._silence()
        if now_s >= self._resend_at_s:
            self._resend(now_s)

    def _resend(self, now_s: float) -> None:
        self._resend_at_s = now_s + _ASK_AGAIN_S
        for under_way in self._under_way.values():
            under_way.refused = None
            self._post(wire.COMMANDS, under_way.payload)

    def _give_up(self, refused: wire.Refused) -> None:
        self._renew()
        raise EngineRefused(refused.code, refused.message)

    def _renew(self) -> None:
        """A new client id: numbers that were used are never given to other commands."""
        self._under_way.clear()
        self._in_doubt = False
        self.client_id = _random_id()
        self.next_number = 1

    def _silence(self) -> EngineUnreachable:
        if self._heard:
            return NoAnswer(f"The engine at {self.address} did not answer within {self.timeout_s:g} s.")
        return EngineUnreachable(f"No engine answers at {self.address}: start it, or name another address.")


def _random_id() -> int:
    return secrets.randbelow((1 << 64) - 1) + 1
