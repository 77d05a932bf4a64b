"""Many seeds over the cores of this machine, and what they add up to."""

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
from simulator.defects import planted
from simulator.run import Outcome, simulate


@dataclass
class Summary:
    """`failed` holds the outcomes of seeds with problems, in their order."""

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
    """Simulates each seed, with a planted `defect` if one is named; gives the sum so far after each."""
    began_s = time.perf_counter()
    summary = Summary()
    kernel.compile_now()
    ahead = iter(seeds)
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("fork"), initializer=_leave_signals)
    waiting = deque((seed, pool.submit(_simulate, defect, seed)) for seed in islice(ahead, 4 * processes))
    try:
        while waiting:
            seed, future = waiting.popleft()
            error = future.exception()
            summary.add(future.result() if error is None else _raised(seed, error))
            summary.seconds = time.perf_counter() - began_s
            yield summary
            if summary.failed and stop_at_failure:
                return
            waiting.extend((seed, pool.submit(_simulate, defect, seed)) for seed in islice(ahead, 1))
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_signals() -> None:
    """Whoever is to stop tells the process that started these, and it lets them finish what they are at."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _raised(seed: int, error: BaseException) -> Outcome:
    """Something raised what nobody expects: a bug, of the exchange or of the simulator."""
    return Outcome(seed, ("".join(format_exception(error)),), Counter(), 0.0, 0, 0, "")


def _simulate(defect: str | None, seed: int) -> Outcome:
    with planted(defect) if defect else nullcontext():
        return simulate(seed)
