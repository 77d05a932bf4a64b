"""Sends a file of JSON commands to a running engine, as fast as it answers or at a given rate."""

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from matching.client.connection import Connection
from matching.client.edge import Refusal
from matching.client.in_flight import Answered
from matching.client.stream import CommandStream, Sent
from matching.client.submission_journal import Journal, Position, Refused
from matching.core.codes import CommandKind, EventKind, Reason, name_of
from matching.core.errors import BadFile
from matching.transport.wire import MAX_BATCH_COMMANDS

_COUNTS = ("sent", "accepted", "rejected", "forgotten")
_MAX_UNCOUNTED_REFUSALS = 4096


@dataclass
class _Part:
    """Lines of the file that are counted together: a batch, and the lines before its end that the edge refused."""

    lines: list[int] = field(default_factory=list)  # of each record; an oco has two
    refused: list[Refused] = field(default_factory=list)
    last_number: int = 0  # number of its last command; 0 if it has none
    size: int = 0  # commands, including refused ones; an oco is one
    forgotten: int = 0
    is_answered: bool = False

    @property
    def last_line(self) -> int:
        return max(self.lines[-1:] + [one.line for one in self.refused[-1:]])

    @property
    def last_line_is_refused(self) -> bool:
        """Whether the edge refused the last line."""
        return self.lines[-1:] != [self.last_line]


class Submission:
    """The progress of a submission: counts of commands, and `latencies_us` with one entry per batch.

    `forgotten` commands were applied before the engine was replaced or restarted, and it no longer holds their events.
    `on_refused` is called with each refused command, in line order. `journal` stores the progress on disk.
    """

    def __init__(
        self, on_refused: Callable[[Refused], object] = lambda one: None, journal: Journal | None = None
    ) -> None:
        self.position = journal.position if journal else Position()
        self.client_id = journal.client_id if journal else None
        before = self.position.counts
        self.sent, self.accepted, self.rejected, self.forgotten = (before.get(name, 0) for name in _COUNTS)
        self.answered_line = self.position.line
        self.seconds = 0.0
        self.latencies_us: list[float] = []
        self._on_refused = on_refused
        self._journal = journal
        self._counted = self.sent
        self._answered_number = self.position.number
        self._open = _Part()  # lines that the edge refused since the last batch
        self._parts: deque[_Part] = deque()  # not counted yet; oldest first
        self._by_number: dict[int, _Part] = {}  # unanswered parts by the number of their first command

    @property
    def unanswered(self) -> int:
        return self.sent - self.accepted - self.rejected - self.forgotten

    def summary(self) -> dict[str, Any]:
        """The last line that `submit` prints. p50 and p99 are null if nothing was sent to the engine.

        `forgotten` and `unanswered` are only included if they are not 0.
        """
        p50, p99 = np.percentile(self.latencies_us, (50, 99)).tolist() if self.latencies_us else (None, None)
        rare = {"forgotten": self.forgotten, "unanswered": self.unanswered}
        return {
            **{name: getattr(self, name) for name in ("sent", "accepted", "rejected")},
            **{name: count for name, count in rare.items() if count},
            "seconds": round(self.seconds, 6),
            "p50_us": p50 and round(p50, 1),
            "p99_us": p99 and round(p99, 1),
        }

    def refuse(self, refused: Refused) -> None:
        """Notes a command that the edge refused."""
        self._open.refused.append(refused)

    @property
    def has_many_refused(self) -> bool:
        """Whether the edge refused so many since the last batch that `submit` counts them before it sends the next."""
        return len(self._open.refused) >= _MAX_UNCOUNTED_REFUSALS

    def before_sending(self, number: int, lines: list[int]) -> None:
        """Notes that `lines` are about to be sent with the numbers from `number` on. Raises BadFile."""
        part, self._open = self._open, _Part()
        part.lines, part.last_number = lines, number + len(lines) - 1
        part.size = len(set(lines)) + len(part.refused)
        if self._journal:
            self._journal.record_batch(number, lines, part.refused)
        self._by_number[number] = part
        self._parts.append(part)

    def note_answer(self, sent: Sent, answered: Answered) -> None:
        """Notes an answer. Raises BadFile."""
        part = self._by_number.pop(answered.answer.first_number)
        part.refused = sorted([*part.refused, *refused_by_engine(sent, answered)], key=lambda one: one.line)
        part.forgotten = _forgotten(sent, answered)
        part.is_answered = True
        self.latencies_us.append(answered.waited_s * 1e6)
        self._count_answered()

    def count_refused(self) -> None:
        """Counts the commands refused since the last batch. Call when all batches are answered. Raises BadFile."""
        if self._open.refused:
            part, self._open = self._open, _Part()
            part.size, part.is_answered = len(part.refused), True
            self._parts.append(part)
            self._count_answered()

    def end(self) -> None:
        """Reports the remaining refusals, also after a failure."""
        for part in (*self._parts, self._open):
            self._report_refused(part.refused)
        self._parts.clear()
        self._open = _Part()

    def _count_answered(self) -> None:
        """Counts answered parts from the oldest on, so that refusals are reported in line order."""
        while self._parts and self._parts[0].is_answered:
            part = self._parts.popleft()
            self._report_refused(part.refused)
            self.forgotten += part.forgotten
            self.accepted += part.size - len(part.refused) - part.forgotten
            self._counted += part.size
            self.answered_line = part.last_line
            self._answered_number = max(self._answered_number, part.last_number)
            if self._journal:
                counts = {name: getattr(self, name) for name in _COUNTS} | {"sent": self._counted}
                self._journal.record_answered(
                    self._answered_number, self.answered_line, part.last_line_is_refused, counts
                )

    def _report_refused(self, refused: Iterable[Refused]) -> None:
        for one in refused:
            self.rejected += 1
            self._on_refused(one)


def refused_by_engine(sent: Sent, answered: Answered) -> list[Refused]:
    """The commands of a batch that the engine rejected. Their tokens are line numbers.

    An oco is rejected with both of its records, and the first one has the reason.
    """
    found, at = [], 0
    for segment in answered.answer.segments:
        for event in segment.events[segment.events["kind"] == EventKind.REJECTED]:
            index = at + int(event["command_sequence"]) - segment.first_command_sequence
            kind = CommandKind(int(sent.commands["kind"][index]))
            if kind != CommandKind.OCO_STOP:
                found.append(Refused(sent.tokens[index], name_of(kind), name_of(Reason(int(event["reason"])))))
        at += segment.command_count
    return found


def _forgotten(sent: Sent, answered: Answered) -> int:
    """The number of commands whose events the engine no longer holds."""
    count, at = 0, 0
    for segment in answered.answer.segments:
        end = at + segment.command_count
        if segment.block_number == 0:
            count += len(set(sent.tokens[at:end]))
        at = end
    return count


def submit(
    connection: Connection,
    commands: Iterable[tuple[int, object]],
    submission: Submission,
    *,
    batch_commands: int,
    rate: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Sends all (line number, command) pairs and waits for every answer; keeps `submission` up to date.

    `rate` is commands per second, None for no limit; `clock` returns monotonic seconds. If the submission has a
    journal, this continues after its last answered line: `connection` has the journal's client id and next number.

    Raises NoAnswer, EngineUnreachable, EngineRefused. Raises BadFile if a line cannot be read, after all commands
    before it are answered.
    """
    began_s = clock()
    run = _Run(connection, submission, batch_commands)
    pace = None if rate is None else _Pace(rate, clock)
    try:
        run.stream.refresh()
        try:
            for line, command in commands:
                if pace and line > run.sent_before:
                    pace.wait_until_due(run.stream)
                run.add(line, command)
        except BadFile:
            run.finish()
            raise
        run.finish()
    finally:
        submission.end()
        submission.seconds = clock() - began_s


class _Run:
    def __init__(self, connection: Connection, submission: Submission, batch_commands: int) -> None:
        self.stream = CommandStream(connection, batch_commands, submission.note_answer, submission.before_sending)
        self._submission = submission
        self._position = submission.position
        self.stream.set_previous(self._position.line_is_refused)
        self.sent_before = max(self._position.ends, default=self._position.line)
        """The last line that an earlier run sent, perhaps without an answer: up to it the batches are the same."""

    def add(self, line: int, command: object) -> None:
        if line <= self._position.line:
            return
        self.stream.make_room(MAX_BATCH_COMMANDS if line <= self.sent_before else None)
        self._submission.sent += 1
        refused = self._position.refused.get(line)
        if refused is not None:
            self.stream.set_previous(is_refused=True)
        else:
            refusal = self.stream.add(command, line)
            refused = refusal and refused_at_edge(line, refusal)
        if refused is None:
            if line in self._position.ends:
                self.stream.flush()
            return
        if line in self._position.numbered:
            raise BadFile(
                f"Line {line} was sent before and is refused now ({refused.reason}): this is not the engine to which "
                "it was sent, so the file cannot be resumed here."
            )
        self._submission.refuse(refused)
        if self._submission.has_many_refused:
            self.finish()

    def finish(self) -> None:
        self.stream.finish()
        self._submission.count_refused()


def refused_at_edge(line: int, refusal: Refusal) -> Refused:
    return Refused(line, refusal.command, name_of(refusal.reason))


class _Pace:
    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        self._began_s = clock()
        self._count = 0

    def wait_until_due(self, stream: CommandStream) -> None:
        """Waits until the next command is due. Sends the collected commands rather than wait for a full batch."""
        due_s = self._began_s + self._count / self._rate
        self._count += 1
        while (left_s := due_s - self._clock()) > 0:
            stream.flush()
            stream.collect(left_s)
