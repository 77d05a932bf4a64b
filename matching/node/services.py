"""The injected services of an engine process: clocks, network, storage. `run_engine` and the simulator pass their own.

Nothing else in an engine reads a clock, opens a file or socket, or starts a process.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from matching.core.epochs import Epoch
from matching.node.costly_answers import AnswerMaker, AtOnce
from matching.storage.history import History, StoredUpTo
from matching.storage.input_logs.base import InputLog
from matching.storage.snapshot_files import Snapshotter
from matching.transport.listening.connections import ConnectionCounts
from matching.transport.sockets import Network


@dataclass(frozen=True, slots=True)
class Services:
    history: History
    input_log: InputLog  # a follower uses it after its promotion
    snapshotter: Snapshotter
    make_network: Callable[[], Network]
    monotonic: Callable[[], float]  # monotonic seconds
    time_ns: Callable[[], int]  # nanoseconds since the Unix epoch
    engine: str  # name of this engine, the same after a restart
    superseded: Callable[[], Epoch | None]
    """Returns the newest known epoch, or None. It is called every turn and must not block."""
    stored: Callable[[], StoredUpTo | None] = lambda: None
    """Returns the newest block that this engine has read in the store, or None. Called every turn; must not block."""
    known_s: Callable[[], float] = lambda: math.inf
    """Time, by `monotonic`, as of which `superseded` is known: when the last answered request to the store was sent."""
    answer_maker: AnswerMaker = field(default_factory=AtOnce)
    connections: ConnectionCounts = field(default_factory=ConnectionCounts)
    """Of the networks that `make_network` makes, for metrics."""
    take_over: bool = False  # lead although another engine led last: it is gone, or must be fenced
