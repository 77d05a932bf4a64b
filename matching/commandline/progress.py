"""Progress of a command, on standard error and only where that is a terminal."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

REDRAW_S = 0.2


def bar(what: str, unit: str, *, total: int | None = None, over: Iterable[Any] | None = None) -> "tqdm[Any]":
    """Counts with each `update()`, or as `over` is iterated. Close it, or use it as a context."""
    return tqdm(over, what, total=total, unit=f" {unit}", mininterval=REDRAW_S, disable=None)


@contextmanager
def blocks(what: str) -> Iterator[Callable[[int, int], None]]:
    """To be called with (block, last block), which may go back; nothing is left of it at the end."""
    with tqdm(desc=what, unit=" blocks", mininterval=REDRAW_S, miniters=1, disable=None, leave=False) as shown:

        def reach(block: int, last: int) -> None:
            if block < shown.n:
                shown.reset()
            shown.total = last
            shown.update(block - shown.n)

        yield reach
