"""Sending a file of JSON commands to a running engine, as fast as it answers or at a given rate."""

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from matching.client.connection import Answered, Connection
from matching.client.replay import parse
from matching.client.stream import CommandStream, Sent
from matching.core.codes import EventKind


@dataclass
class Submission:
    """Counts of commands; `latencies_us` has one entry a batch, from its sending to its answer.

    `forgotten` were done before an engine was replaced or started again, and what came of them is not held any more.
    """

    sent: int = 0
    accepted: int = 0
    rejected: int = 0
    forgotten: int = 0
    seconds: float = 0.0
    latencies_us: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """The last line that is printed; p50 and p99 are null when nothing was sent to the engine.

        `forgotten` is there when there are any.
        """
        p50, p99 = np.percentile(self.latencies_us, (50, 99)).tolist() if self.latencies_us else (None, None)
        hidden = {"latencies_us"} if self.forgotten else {"latencies_us", "forgotten"}
        counts = {name: value for name, value in asdict(self).items() if name not in hidden}
        counts["seconds"] = round(self.seconds, 6)
        return {**counts, "p50_us": p50 and round(p50, 1), "p99_us": p99 and round(p99, 1)}

    def note(self, sent: Sent, answered: Answered) -> None:
        rejected = sum(
            int(np.count_nonzero(segment.events["kind"] == EventKind.REJECTED)) for segment in answered.answer.segments
        )
        forgotten = sum(segment.command_count for segment in answered.answer.segments if segment.block_number == 0)
        self.rejected += rejected
        self.forgotten += forgotten
        self.accepted += len(sent.commands) - rejected - forgotten
        self.latencies_us.append(answered.waited_s * 1e6)


def submit(
    connection: Connection,
    lines: Iterable[str],
    *,
    batch_commands: int,
    rate: float | None = None,
    progress: Callable[[], object] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> Submission:
    """Sends every command and waits for every answer; `rate` is commands a second, None for no limit.

    `clock` gives seconds that never run back.

    Raises NoAnswer when one is left without an answer, EngineUnreachable, EngineRefused.
    """
    submission = Submission()
    stream = CommandStream(connection, batch_commands, submission.note)
    stream.refresh()
    began_s = clock()
    for line in lines:
        progress()
        if not line.strip():
            continue
        if rate is not None:
            _keep_pace(stream, began_s + submission.sent / rate, clock)
        stream.make_room()
        submission.sent += 1
        if stream.add(parse(line), None) is not None:
            submission.rejected += 1
    stream.finish()
    submission.seconds = clock() - began_s
    return submission


def _keep_pace(stream: CommandStream, due_s: float, clock: Callable[[], float]) -> None:
    """Waits until the next command is due; what was collected meanwhile goes out rather than wait for a full batch."""
    while (left_s := due_s - clock()) > 0:
        stream.flush()
        stream.collect(left_s)
