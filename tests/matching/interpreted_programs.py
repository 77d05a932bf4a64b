"""Programs of tests that run the kernel interpreted: compiled, its limits are constants."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run_interpreted(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs the module `name` of this folder to its end, whatever its exit code."""
    return subprocess.run(
        [sys.executable, "-m", f"tests.matching.{name}", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
