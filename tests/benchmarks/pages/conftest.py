"""A small store that the command made, and the site's tables and administrator beside it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from exchange_site.operations.free_addresses import free_addresses

ROOT = Path(__file__).parents[3]
TIMEOUT_S = 600

Manage = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def manage(tmp_path_factory: pytest.TempPathFactory) -> Manage:
    """Runs `manage.py` with a DATA_DIR of this file's tests."""
    folder = tmp_path_factory.mktemp("large") / "data"
    kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "DJANGO_SETTINGS_MODULE")}
    environment = {**kept, **free_addresses(), "DATA_DIR": str(folder), "LOG_LEVEL": "WARNING"}

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    return run
