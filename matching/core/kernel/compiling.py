"""Compiles kernel functions with Numba and caches the machine code on disk.

Numba's own cache checks the time stamp of one source file only: it misses a changed constant or function in another
file. So the name of the cache folder is a digest of the kernel's sources, the record layout and the compiler versions.
A cache can be missing, but never stale.

The kernel is tested in three modes: compiled; compiled with NUMBA_BOUNDSCHECK=1; interpreted with NUMBA_DISABLE_JIT=1.
"""

import hashlib
import os
import tempfile
from pathlib import Path

import numba
import numpy as np
from llvmlite import binding as llvm
from numba import config, njit

# Without this option LLVM turns a conditional move (`a if c else b`) with loaded values back into a branch. The side of
# an order and its position in a list cannot be predicted: conditional moves save a tenth of the time of a command, a
# fifth in a deep book.
llvm.set_option("", "-x86-cmov-converter=false")

_PACKAGE = Path(__file__).resolve().parent


def _fingerprint() -> str:
    digest = hashlib.sha256(f"{numba.__version__} {np.__version__} {config.BOUNDSCHECK}".encode())
    for source in sorted([*_PACKAGE.rglob("*.py"), _PACKAGE.parent / "codes.py", _PACKAGE.parent / "layout.py"]):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _cache_folder() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    try:
        folder = base / "exchange-kernel" / _fingerprint()
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # the home folder is not writable
        folder = Path(tempfile.gettempdir()) / f"exchange-kernel-{os.getuid()}" / _fingerprint()
        folder.mkdir(parents=True, exist_ok=True)
    return folder


CACHE_FOLDER = _cache_folder()
config.CACHE_DIR = str(CACHE_FOLDER)

inlined = njit(
    forceinline=True,
    error_model="numpy",
    nogil=True,
    _nrt=False,
    no_cpython_wrapper=True,
    no_cfunc_wrapper=True,
)
"""Decorator of functions called within the kernel: inlined into the caller, so that passing the pools is free."""

called = njit(
    forceinline=False,  # otherwise it is inherited from an inlined caller
    error_model="numpy",
    nogil=True,
    _nrt=False,
    no_cpython_wrapper=True,
    no_cfunc_wrapper=True,
)
"""Decorator of rare paths within the kernel: compiled once and called.

Inlining them everywhere would multiply the time to compile, and slow the frequent paths down."""

entry = njit(error_model="numpy", nogil=True, cache=True, _nrt=False)
"""Decorator of functions called from Python."""
