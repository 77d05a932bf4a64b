"""Virtual environments of programs that need other versions of packages than the exchange."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def environment_with(requirement: str, place: Path) -> Path:
    """Makes an environment in the folder `place` and returns its folder `bin`; skips the test if pip cannot install."""
    environment = {**os.environ, "PYTHONPATH": ""}
    subprocess.run([sys.executable, "-m", "venv", place], check=True, env=environment)
    install = [str(place / "bin" / "pip"), "install", "--quiet", requirement]
    installed = subprocess.run(install, capture_output=True, text=True, check=False, env=environment)
    if installed.returncode:
        pytest.skip(f"{requirement} cannot be installed: {installed.stderr[-500:]}")
    return place / "bin"
