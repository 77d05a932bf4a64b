"""Progress bars of commands, on standard error and only if that is a terminal."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

REDRAW_S = 0.2


def bar(what: str, unit: str, *, total: int | None = None, over: Iterable[Any] | None = None) -> "tqdm[Any]":
    """Counts each `update()`, or the items of `over` as it is iterated. Close it, or use it in a `with` statement."""
    return tqdm(over, what, total=total, unit=f" {unit}", mininterval=REDRAW_S, disable=None)


@contextmanager
def blocks(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yields a function to call with (block, last block). The block may decrease. The bar is removed at the end."""
    with tqdm(desc=what, unit=" blocks", mininterval=REDRAW_S, miniters=1, disable=None, leave=False) as shown:

        def reach(block: int, last: int) -> None:
            if block < shown.n:
                shown.reset()
            shown.total = last
            shown.update(block - shown.n)

        yield reach
