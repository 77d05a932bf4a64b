"""How a flood of messages delays somebody else: round trips of a client while another process floods the engine.

The same flood also goes to a second engine that the client does not use. That shows how much of the delay comes from
the machine alone: the flooding process, the flooded engine and the client share the processors.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings

from benchmarks.delays import flooding
from benchmarks.pipeline_bench import one_at_a_time
from benchmarks.processes import BenchError, Exchange, exchange
from matching.client.client import Client
from matching.client.edge import BatchBuilder, Edge
from matching.workloads.btc_usd import DEFINITIONS
from matching.workloads.generated import Batch

KINDS = (*flooding.MESSAGES, flooding.FOKS)
ACCOUNTS = 100_000  # so that the state is large
MAKERS = 200_000
_CALL = 4000  # commands
_TRADER = 1
_TIMEOUT_S = 60.0
_START_S = 30.0
_BUSY_S = 0.2
_SETTINGS = {"ENGINE_RING_BLOCKS": str(1 << 22)}
"""Nothing confirms blocks, and each round trip makes one."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Delay:
    """Of one flood, microseconds. `elsewhere`: while the flood went to the other engine."""

    kind: str
    quiet_p50_us: float
    quiet_p99_us: float
    elsewhere_p50_us: float
    elsewhere_p99_us: float
    p50_us: float
    p99_us: float
    engine_peak_mib: int

    def document(self) -> dict[str, Any]:
        return asdict(self)


def measure(kinds: Sequence[str], samples: int, *, parent: Path | None, say: Say) -> Iterator[Delay]:
    """`samples` round trips for each figure. Raises BenchError, MatchingError."""
    with ExitStack() as opened:
        say("starting two engines")
        flooded, other = (
            opened.enter_context(exchange(parent, _SETTINGS, is_plain=False, settlement=())) for _ in range(2)
        )
        for running in (flooded, other):
            say(f"{MAKERS:,} open orders, {ACCOUNTS:,} accounts")
            _fill(running)
        client = opened.enter_context(_client(flooded))
        orders = BatchBuilder(Edge(client.registry))

        def figures() -> tuple[float, float]:
            batches = [_deposit(orders) for _ in range(samples)]
            taken_us, _ = one_at_a_time(client.connection, batches)
            p50, p99 = np.percentile(taken_us, (50, 99)).tolist()
            return round(p50, 1), round(p99, 1)

        figures()
        for kind in kinds:
            say(kind)
            quiet = figures()
            with _flood(other, kind):
                elsewhere = figures()
            with _flood(flooded, kind):
                here = figures()
            yield Delay(kind, *quiet, *elsewhere, *here, _peak_mib(flooded))


def _deposit(builder: BatchBuilder) -> Batch:
    builder.add(
        {"command": "deposit", "account": 3, "asset": "BTC", "amount": "1", "reference": f"{time.perf_counter_ns()}"}
    )
    return Batch(*builder.take())


def _fill(running: Exchange) -> None:
    """Funds for accounts, and open sell orders that a FOK looks at without being filled."""
    with _client(running) as client:
        client.call(DEFINITIONS)
        client.call(
            [
                {"command": "deposit", "account": _TRADER, "asset": "BTC", "amount": "1000000", "reference": "makers"},
                {
                    "command": "deposit",
                    "account": flooding.FLOODER,
                    "asset": "USD",
                    "amount": "1000000000",
                    "reference": "takers",
                },
            ]
        )
        for first in range(0, ACCOUNTS, _CALL):
            client.call(
                [
                    {"command": "deposit", "account": number, "asset": "BTC", "amount": "1", "reference": f"f{number}"}
                    for number in range(first + 10, first + 10 + _CALL)
                ]
            )
        for first in range(0, MAKERS, _CALL):
            client.call(
                [
                    {
                        "command": "order",
                        "account": _TRADER,
                        "symbol": "BTC-USD",
                        "side": "sell",
                        "order_type": "limit",
                        "price": str(1000 + number % 1000),
                        "quantity": "0.1",
                    }
                    for number in range(first, first + _CALL)
                ]
            )


def _client(running: Exchange) -> Client:
    address = running.environment["ENGINE_COMMAND_ADDRESS"]
    return Client(address, timeout_s=_TIMEOUT_S, make_network=running.make_network)


@contextmanager
def _flood(running: Exchange, kind: str) -> Iterator[None]:
    setting = "ENGINE_RETRANSMIT_ADDRESS" if kind in flooding.READERS else "ENGINE_COMMAND_ADDRESS"
    environment = running.environment
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.delays.flooding", environment["DATA_DIR"], kind, environment[setting]],
        cwd=settings.BASE_DIR,
        env=environment,
        stdin=subprocess.DEVNULL,
    )
    try:
        _wait_until_busy(running)
        yield
        if process.poll() is not None:
            raise BenchError(f"The flood of {kind} ended with status {process.returncode}.")
    finally:
        process.kill()
        process.wait()


def _wait_until_busy(running: Exchange) -> None:
    """Waits until the engine has used the processor for a while, which says that the flood has begun."""
    deadline_s = time.monotonic() + _START_S
    before_s = running.cpu_seconds()["engine"]
    while running.cpu_seconds()["engine"] < before_s + _BUSY_S:
        if time.monotonic() > deadline_s:
            raise BenchError(f"The flood did not reach the engine within {_START_S:g} s.")
        time.sleep(0.05)


def _peak_mib(running: Exchange) -> int:
    status = Path(f"/proc/{running.processes['engine'].pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) >> 10
