"""Work that is repeated in a thread of its own while the main thread does something else."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EVERY_S = 1.0


@contextmanager
def polling(work: Callable[[], object], name: str, every_s: float = EVERY_S) -> Iterator[None]:
    """Calls `work` at once and then every `every_s` seconds, until the end of the context. `name` is the thread's."""
    stop = threading.Event()

    def run() -> None:
        work()
        while not stop.wait(every_s):
            work()

    threading.Thread(target=run, name=name, daemon=True).start()
    try:
        yield
    finally:
        stop.set()
