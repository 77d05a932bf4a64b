"""How kernel functions are compiled: by Numba, cached on disk in a folder that names all that the code depends on.

Numba's own cache looks at the time stamp of one file; it does not see a changed constant or a changed function in
another file. So each state of the kernel's sources, of the record layout and of the compiler has a folder of its own,
and a cache can be missing but never stale.

Three ways to run, each tested: compiled; compiled with NUMBA_BOUNDSCHECK=1; interpreted with NUMBA_DISABLE_JIT=1.
"""

import hashlib
import os
import tempfile
from pathlib import Path

import numba
import numpy as np
from llvmlite import binding as llvm
from numba import config, njit

# LLVM would turn `a if c else b` with loaded values back into a branch. Which side an order is on, or which end of a
# list it stands at, cannot be predicted: the select is worth a tenth of the time of a command, a fifth in a deep book.
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
    except OSError:  # no home to write to
        folder = Path(tempfile.gettempdir()) / f"exchange-kernel-{os.getuid()}" / _fingerprint()
        folder.mkdir(parents=True, exist_ok=True)
    return folder


CACHE_FOLDER = _cache_folder()
config.CACHE_DIR = str(CACHE_FOLDER)

inlined = njit(forceinline=True, error_model="numpy", nogil=True, _nrt=False)
"""A part of the kernel: becomes part of its caller, so passing the pools costs nothing."""

entry = njit(error_model="numpy", nogil=True, cache=True, _nrt=False)
"""A function that Python calls."""
