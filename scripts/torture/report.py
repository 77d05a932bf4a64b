"""The result of a run, as a table and as JSON."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

from scripts.torture.clients import Answer


class Outage(NamedTuple):
    """Kill of a leader. `way`: "restart", or "promotion" of its follower; that began at `remedy_s`."""

    way: str
    killed_s: float
    remedy_s: float


class Fault(NamedTuple):
    """An injected fault with its beginning and end."""

    began_s: float
    ended_s: float


class Lengths(NamedTuple):
    """Durations of outages, in seconds."""

    outages: int
    median_s: float
    longest_s: float


@dataclass
class Result:
    seed: int
    kills: int = 0
    seconds: float = 0.0  # with load and faults
    disturbances: Counter[str] = field(default_factory=Counter)
    happenings: Counter[str] = field(default_factory=Counter)  # events that followed from faults
    commands_answered: int = 0
    commands_forgotten: int = 0
    commands_in_chain: int = 0
    blocks: int = 0
    trades: int = 0
    epochs: int = 0
    timeouts: int = 0
    longest_gap_s: float = 0.0
    longest_gap_at_s: float = 0.0  # of the journal's time
    outages: dict[str, Lengths] = field(default_factory=dict)
    refusals: Counter[str] = field(default_factory=Counter)  # error messages of replaced leaders
    memory_peaks: dict[str, int] = field(default_factory=dict)  # bytes
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems

    def form(self) -> dict[str, Any]:
        lengths = {way: length._asdict() for way, length in self.outages.items()}
        return {"ok": self.ok, **vars(self), "outages": lengths}


def longest_gap(rng: Iterable[float]) -> tuple[float, float]:
    """(length, beginning) of the longest gap between consecutive moments; (0, 0) for fewer than two."""
    return max(((after - before, before) for before, after in pairwise(rng)), default=(0.0, 0.0))


def outage_lengths(outages: Sequence[Outage], answers: Sequence[Answer], faults: Sequence[Fault]) -> dict[str, Lengths]:
    """Times from each kill of a leader to the first answer after the remedy began. `answers` are ordered by time.

    Answers that a killed leader had sent may still arrive, so earlier answers do not count. Outages without another
    fault at the same time are also reported separately.
    """
    lengths: dict[str, list[float]] = {}
    for outage in outages:
        at = bisect_right(answers, outage.remedy_s, key=lambda answer: answer.at_s)
        if at < len(answers):
            end_s = answers[at].at_s
            lengths.setdefault(outage.way, []).append(end_s - outage.killed_s)
            if not any(fault.began_s < end_s and fault.ended_s > outage.killed_s for fault in faults):
                lengths.setdefault(f"{outage.way}, undisturbed", []).append(end_s - outage.killed_s)
    return {way: Lengths(len(all_s), median(all_s), max(all_s)) for way, all_s in sorted(lengths.items())}


def table(result: Result) -> str:
    rows = [("seed", str(result.seed)), ("kills", str(result.kills)), ("seconds", f"{result.seconds:.0f}")]
    rows += [(f"  {kind}", str(count)) for kind, count in sorted(result.disturbances.items())]
    rows += [(f"  then: {kind}", str(count)) for kind, count in sorted(result.happenings.items())]
    gap = f"{result.longest_gap_s:.2f} s, from {result.longest_gap_at_s:.1f} s of the journal"
    rows += [
        ("commands answered", f"{result.commands_answered:,}"),
        ("  of these without their events", f"{result.commands_forgotten:,}"),
        ("commands in the chain", f"{result.commands_in_chain:,}"),
        ("blocks", f"{result.blocks:,}"),
        ("trades", f"{result.trades:,}"),
        ("epochs", str(result.epochs)),
        ("times that a client had no answer for 5 s", str(result.timeouts)),
        ("longest time without an answer", gap),
    ]
    for way, length in result.outages.items():
        text = f"{length.median_s:.2f} s median, {length.longest_s:.2f} s longest, of {length.outages}"
        rows.append((f"kill of a leader to an answer, by {way}", text))
    rows.append(("replaced leaders refused", str(result.refusals.total())))
    rows += [(f"memory peak of {name}", f"{peak / 2**20:.0f} MiB") for name, peak in result.memory_peaks.items()]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {value}" for name, value in rows]
    return "\n".join([*lines, *(f"PROBLEM: {problem}" for problem in result.problems)])
