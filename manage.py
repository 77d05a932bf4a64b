#!/usr/bin/env python3
"""Every tool of the exchange: `manage.py help` lists them."""

import os
import sys
from collections.abc import Callable

from matching.commandline import interruption

SERVICES = frozenset(("run_engine", "run_settlement", "run_gateway", "run_analytics", "run_exchange", "demo_market"))
"""They run until they are asked to stop."""

READERS = frozenset(("doctor", "backup"))
"""They create nothing in DATA_DIR, not even the folder."""

BRING_KEYS = frozenset(("restore",))
"""They take the keys of DATA_DIR from elsewhere, so none are made before."""


def main() -> None:
    with interruption.whole_process(is_service=not SERVICES.isdisjoint(sys.argv[1:2])) as loaded:
        run(loaded)


def run(loaded: Callable[[], None]) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exchange_site.settings")
    try:
        from django.core.management import execute_from_command_line
    except ModuleNotFoundError:
        sys.exit("Django is not installed in this Python: run `make install`, then use .venv/bin/python manage.py")

    from exchange_site.startup import set_up

    command = sys.argv[1:2]
    set_up(reads_only=not READERS.isdisjoint(command), makes_keys=BRING_KEYS.isdisjoint(command))
    loaded()
    try:
        execute_from_command_line(sys.argv)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the output has closed the pipe (`| head`); the rest of the buffer is discarded.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
