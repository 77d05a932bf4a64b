"""Describes the machine that a benchmark runs on."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numba
import numpy as np
import zmq


def machine() -> dict[str, Any]:
    """Description of the machine and software versions. Load: average of the last minute."""
    model = Path("/proc/cpuinfo")
    named = [line.partition(":")[2].strip() for line in _lines(model) if line.startswith("model name")]
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": named[0] if named else platform.machine(),
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "numba": numba.__version__,
        "numpy": np.__version__,
        "zmq": zmq.zmq_version(),
    }


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []
