"""What an engine process needs of the world around it, injected: `run_engine` and the simulator each bring theirs.

Nothing else on the engine's side asks for the time, opens a file or a socket, or starts a process.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from matching.core.epochs import Epoch
from matching.storage.history import History
from matching.storage.input_logs.base import InputLog
from matching.storage.snapshot_files import Snapshotter
from matching.transport.sockets import Network


@dataclass(frozen=True, slots=True)
class Services:
    history: History
    input_log: InputLog  # a follower uses it from its promotion on
    snapshotter: Snapshotter
    make_network: Callable[[], Network]
    monotonic: Callable[[], float]  # seconds that never run back
    time_ns: Callable[[], int]  # nanoseconds since the Unix epoch
    engine: str  # a name that this engine keeps over restarts
    superseded: Callable[[], Epoch | None]
    """The newest epoch that is known of, or None. Asked each turn, so it waits for nothing."""
    known_s: Callable[[], float] = lambda: math.inf
    """How far `superseded` is up to date: when the store was asked that answered last, by `monotonic`."""
    take_over: bool = False  # lead although another engine led last: that one is gone for good, or is to be fenced
