"""Runs functions, such as a load, in threads beside a system test."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager


@contextmanager
def in_background(*functions: Callable[[threading.Event], None]) -> Iterator[None]:
    """Runs each function in a thread of its own until the `with` block ends, then sets the event that it was given.

    Raises a function's exception at the end. If the block fails too, both exceptions are shown.
    """
    stop = threading.Event()
    with ThreadPoolExecutor(len(functions)) as threads:
        running = [threads.submit(function, stop) for function in functions]
        try:
            yield
        finally:
            stop.set()
            for one in running:
                one.result()
