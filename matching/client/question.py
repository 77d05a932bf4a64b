"""A question to an engine. It is repeated until it is answered; a costly one only if it seems lost.

Connections keep messages in order. After a costly question the client asks for the status. If the status is answered
first, the question or its answer seems lost, because a connection broke or a queue was full, and the client asks again.
An engine that makes the answer in another process (`matching.node.costly_answers`) answers the status meanwhile, too,
and ignores the same question until it has sent the answer.
"""

from collections.abc import Callable
from typing import Any

from matching.core.errors import EngineRefused
from matching.transport import wire

_SILENT_S = 1.0
_SILENT_AT_WORK_S = 5.0
"""An engine that makes a costly answer in its own thread sends nothing meanwhile: it is allowed a longer silence."""


class Question:
    """A question with its correlation ids, and its answer once it has arrived."""

    def __init__(self, verb: bytes, random_bytes: Callable[[int], bytes]) -> None:
        """`random_bytes(n)` returns n unpredictable bytes."""
        self._verb = verb
        self._random_bytes = random_bytes
        self._correlation = random_bytes(8)
        self._probe = b""  # correlation id of the status request that follows a costly question
        self._asked = ""  # address of the engine to which it was sent last
        self._is_lost = False
        self.answer: bytes | None = None
        self.refused: bytes | None = None
        """The engine's refusal, instead of an answer."""

    @property
    def silent_s(self) -> float:
        """How long the engine may be silent before the connection searches for another one."""
        return _SILENT_AT_WORK_S if self._verb in wire.COSTLY_QUESTIONS else _SILENT_S

    def to_send(self, address: str) -> tuple[bytes, bytes]:
        """Verb and correlation id to send to the engine at `address`: the question, or a status request as a probe."""
        if self._verb in wire.COSTLY_QUESTIONS:
            if address == self._asked and not self._is_lost:
                return wire.STATUS, self._probe
            self._probe = self._random_bytes(8)
        self._asked, self._is_lost = address, False
        return self._verb, self._correlation

    @property
    def is_done(self) -> bool:
        return self.answer is not None or self.refused is not None

    def is_done_or_left(self, address: str) -> bool:
        """Whether there is nothing to wait for: it is answered, or `address` is not the engine that was asked."""
        return self.is_done or self._asked != address

    def result(self) -> dict[str, Any] | None:
        """The answer; None if there is none. Raises EngineRefused, BadMessage."""
        if self.refused is not None:
            refused = wire.decode_refused(self.refused)
            raise EngineRefused(refused.code, refused.message)
        if self.answer is None:
            return None
        answer = wire.decode_json(self.answer)
        if "unavailable" in answer:
            raise EngineRefused(wire.ENGINE_HALTED, str(answer["unavailable"]))
        return answer

    def take_refusal(self, payload: bytes, correlation: bytes) -> None:
        """Reads a refusal from the engine; ignores it if it refuses something else."""
        if correlation == self._correlation:
            self.refused = payload

    def take(self, payload: bytes, correlation: bytes) -> None:
        """Reads a message from the engine; ignores it if it answers something else."""
        if correlation == self._correlation:
            self.answer = payload
        elif correlation == self._probe:
            self._is_lost = self.answer is None
