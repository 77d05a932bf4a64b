"""Answers to costly questions: made one at a time, and outside the engine's thread if `AnswerMaker` can do that.

One answer goes to all who have asked the same question when it is begun. So a flood of them delays an honest question
by the pause after one answer, not by one pause for each that waits.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from matching.node.status import Counters
from matching.transport.time_slice import CostlyWork

_MAX_WAITING = 16
_POLL_S = 0.002
_LONGEST_PAUSE_S = 5.0
"""Longest pause after an answer that was made outside the engine's thread, because clients wait for the next one."""


class AnswerMaker(Protocol):
    """Makes one answer at a time, from the engine's state as it is when `begin` is called."""

    def begin(self, make: Callable[[], bytes]) -> None:
        """Starts to make an answer. The engine may continue when this returns."""

    def outcome(self) -> bytes | None:
        """The answer that was begun, returned once; empty if it could not be made. None while it is being made."""

    def close(self) -> None:
        """Abandons what was begun."""


class AtOnce:
    """Makes answers in the engine's own thread."""

    _made: bytes | None = None

    def begin(self, make: Callable[[], bytes]) -> None:
        self._made = make()

    def outcome(self) -> bytes | None:
        made, self._made = self._made, None
        return made

    def close(self) -> None:
        self._made = None


class Asked(NamedTuple):
    sender: bytes
    verb: bytes
    correlation: bytes


class CostlyAnswers:
    """`make` gives the answer to a verb, `send` sends it. Each sender has one question at most: its newest."""

    def __init__(
        self,
        maker: AnswerMaker,
        make: Callable[[bytes], bytes],
        send: Callable[[Asked, bytes], None],
        counters: Counters,
        clock: Callable[[], float],
    ) -> None:
        self._maker = maker
        self._make = make
        self._send = send
        self._counters = counters
        self._costly = CostlyWork(clock)
        self._waiting: dict[bytes, Asked] = {}  # by sender
        self._begun: list[Asked] = []
        self._began_s = 0.0
        self._clock = clock

    @property
    def idle_s(self) -> float:
        """Seconds until `advance` may have something to do."""
        if self._begun:
            return _POLL_S
        return max(0.0, self._costly.due_in_s) if self._waiting else float("inf")

    def ask(self, asked: Asked) -> None:
        """Keeps a question. Ignores those whose answer is being made: clients ask again while they wait."""
        if asked in self._begun:
            return
        if asked.sender in self._waiting or len(self._waiting) < _MAX_WAITING:
            self._waiting[asked.sender] = asked
        else:
            self._counters.lost_answers += 1

    def advance(self) -> None:
        """Begins an answer if one is due, or sends the one that has been made."""
        if not self._begun and self._waiting and self._costly.due_in_s <= 0:
            verb = next(iter(self._waiting.values())).verb
            self._begun = [asked for asked in self._waiting.values() if asked.verb == verb]
            for asked in self._begun:
                del self._waiting[asked.sender]
            self._began_s = self._clock()
            self._costly.run(lambda: self._maker.begin(lambda: self._make(verb)))
        if self._begun:
            self._costly.run(self._send_what_is_made)

    def _send_what_is_made(self) -> None:
        answer = self._maker.outcome()
        if answer is None:
            return
        self._costly.count(self._clock() - self._began_s, _LONGEST_PAUSE_S)
        begun, self._begun = self._begun, []
        for asked in begun:
            if answer:
                self._send(asked, answer)
            else:
                self._counters.lost_answers += 1  # its sender asks again
