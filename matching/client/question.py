"""A question to an engine, asked again as long as it may have been lost; a costly one only once it was.

A connection keeps messages in order, and an engine answers questions in the order in which they come. So a status that
is asked for after the question and answered before it tells that the question, or its answer, was lost: with a
connection that broke, or where the queue of answers was full. Until then the engine is at work on it, however long.
"""

from collections.abc import Callable

from matching.transport import wire

_SILENT_S = 1.0
_SILENT_AT_WORK_S = 5.0
"""An engine that makes a costly answer says nothing else meanwhile: it is not given up for another one so soon."""


class Question:
    """`token` gives so many bytes that nobody guesses."""

    def __init__(self, verb: bytes, token: Callable[[int], bytes]) -> None:
        self._verb = verb
        self._token = token
        self._correlation = token(8)
        self._probe = b""  # correlation of the status that is asked for after the newest sending of a costly question
        self._asked = ""  # address of the engine that it was sent to last
        self._is_lost = False
        self.answer: bytes | None = None

    @property
    def silent_s(self) -> float:
        """How long the engine may be silent before another one is looked for."""
        return _SILENT_AT_WORK_S if self._verb in wire.COSTLY_QUESTIONS else _SILENT_S

    def to_send(self, address: str) -> tuple[bytes, bytes]:
        """Verb and correlation for the engine at `address`, now: the question, or what tells whether it was lost."""
        if self._verb in wire.COSTLY_QUESTIONS:
            if address == self._asked and not self._is_lost:
                return wire.STATUS, self._probe
            self._probe = self._token(8)
        self._asked, self._is_lost = address, False
        return self._verb, self._correlation

    def take(self, payload: bytes, correlation: bytes) -> None:
        """A message that came; one that belongs to something else is passed over."""
        if correlation == self._correlation:
            self.answer = payload
        elif correlation == self._probe:
            self._is_lost = self.answer is None
