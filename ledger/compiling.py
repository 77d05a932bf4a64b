"""Compiles loops over whole arrays with Numba, and caches the machine code on disk.

As in `matching.core.kernel.compiling`, the name of a cache folder is a digest of the sources, so that a cache can be
missing, but never stale. It is a folder within the matching kernel's, whose name covers the compiler, the codes and
the record layout.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import config, njit

from matching.core.kernel import compiling as kernel_compiling

F = TypeVar("F", bound=Callable[..., Any])


def compiled(*sources: Path) -> Callable[[F], F]:
    """A decorator of functions called from Python. `sources`: the files whose code is compiled into them."""
    digest = hashlib.sha256()
    for source in sorted({*sources, Path(__file__)}):
        digest.update(source.read_bytes())
    folder = kernel_compiling.CACHE_FOLDER / digest.hexdigest()[:16]

    def decorate(function: F) -> F:
        folder.mkdir(parents=True, exist_ok=True)
        before, config.CACHE_DIR = config.CACHE_DIR, str(folder)  # Numba reads it when it decorates
        try:
            made = njit(error_model="numpy", nogil=True, cache=True, _nrt=False)(function)
        finally:
            config.CACHE_DIR = before
        return cast(F, made)

    return decorate


def inlined(function: F) -> F:
    """Decorator of functions called by compiled ones."""
    return cast(F, kernel_compiling.inlined(function))
