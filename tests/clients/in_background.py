"""A thread that works while a test looks on."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_END_S = 30


@contextmanager
def in_background(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Runs `work`, which has to end soon after its event is set."""
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(_END_S)
        assert not thread.is_alive()
