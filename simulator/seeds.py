"""Runs many seeds in parallel processes and sums up their outcomes."""

import multiprocessing
import signal
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice
from traceback import format_exception

from matching.core import kernel
from simulator.planted.defects import planted
from simulator.run import Outcome, simulate


@dataclass
class Summary:
    """Sum of outcomes; `failed` contains those with problems, in the order of the seeds."""

    seeds: int = 0
    failed: list[Outcome] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    simulated_s: float = 0.0
    blocks: int = 0
    answered: int = 0
    seconds: float = 0.0

    def add(self, outcome: Outcome) -> None:
        self.seeds += 1
        self.counts += outcome.counts
        self.simulated_s += outcome.simulated_s
        self.blocks += outcome.blocks
        self.answered += outcome.answered
        if outcome.problems:
            self.failed.append(outcome)


def simulate_all(
    seeds: Iterable[int], *, processes: int, defect: str | None = None, stop_at_failure: bool = False
) -> Iterator[Summary]:
    """Simulates each seed, with a planted `defect` if one is named. Yields the sum after each seed."""
    began_s = time.perf_counter()
    summary = Summary()
    kernel.compile_now()
    ahead = iter(seeds)
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("fork"), initializer=_ignore_interrupts)
    waiting = deque((seed, pool.submit(_simulate, defect, seed)) for seed in islice(ahead, 4 * processes))
    try:
        while waiting:
            seed, future = waiting.popleft()
            error = future.exception()
            summary.add(future.result() if error is None else _failed_by(seed, error))
            summary.seconds = time.perf_counter() - began_s
            yield summary
            if summary.failed and stop_at_failure:
                return
            waiting.extend((seed, pool.submit(_simulate, defect, seed)) for seed in islice(ahead, 1))
    finally:
        pool.shutdown(cancel_futures=True)


def _ignore_interrupts() -> None:
    """Worker processes ignore Ctrl-C: the parent handles it and lets them finish their seed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _failed_by(seed: int, error: BaseException) -> Outcome:
    """The outcome of an unexpected exception: a bug in the exchange or in the simulator."""
    return Outcome(
        seed=seed,
        problems=("".join(format_exception(error)),),
        counts=Counter(),
        simulated_s=0.0,
        blocks=0,
        answered=0,
        digest="",
    )


def _simulate(defect: str | None, seed: int) -> Outcome:
    with planted(defect) if defect else nullcontext():
        return simulate(seed)
