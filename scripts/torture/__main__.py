"""Command line. Exit codes: 0 all checks passed, 1 a problem was found, 2 invalid option."""

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import django

import scripts.torture
from matching.core.errors import MatchingError
from scripts.torture.processes import Failed, settings_of
from scripts.torture.report import Result, table

_SECONDS_A_KILL = 12
_LEAST_MINUTES = 3.0


def main() -> int:
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="exchange-torture-"))
    print(f"torture: seed {options.seed}, {options.kills} kills; output in {folder}", flush=True)
    result = Result(options.seed)
    try:
        _go(options, folder, result)
    except KeyboardInterrupt:
        result.problems.append("It was interrupted.")
    print(table(result))
    if options.json:
        options.json.write_text(json.dumps(result.form(), indent=2) + "\n")
    if result.ok and not options.keep:
        shutil.rmtree(folder)
    else:
        print(f"torture: logs and data of the processes are in {folder}", file=sys.stderr)
    return 0 if result.ok else 1


def _go(options: argparse.Namespace, folder: Path, result: Result) -> None:
    # The store is read in this process, too: its settings come out of the environment when Django is set up.
    os.environ.update(settings_of(folder))
    django.setup()
    from scripts.torture import run
    from settlement.stores.base import StoreError

    choices = run.Choices(options.seed, options.kills, options.minutes, options.rate, options.spare)

    async def interruptible() -> None:
        task = asyncio.current_task()
        assert task is not None, "asyncio.run makes one"
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        await run.run(choices, folder, result)

    try:
        asyncio.run(interruptible())
    except (Failed, MatchingError, StoreError) as error:
        result.problems.append(str(error))
    except asyncio.CancelledError:
        result.problems.append("The run was stopped by a signal.")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.torture", description=scripts.torture.__doc__)
    parser.add_argument("--kills", type=int, default=200, metavar="N", help="number of kills (200)")
    parser.add_argument("--seed", type=int, metavar="N", help="determines faults and times; printed")
    parser.add_argument("--minutes", type=float, metavar="M", help="time limit for kills; default: depends on --kills")
    parser.add_argument("--rate", type=float, default=400.0, metavar="N", help="commands a second (400)")
    parser.add_argument(
        "--spare", type=float, default=6.0, metavar="S", help="maximum grace period of a process before a kill (6)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the result to this file")
    parser.add_argument("--keep", action="store_true", help="keep the folder of the run even on success")
    options = parser.parse_args()
    if options.kills < 0 or options.rate <= 0 or options.spare < 0:
        parser.error("--kills and --spare must be 0 or more, --rate more than 0")
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 32)
    if options.minutes is None:
        options.minutes = max(_LEAST_MINUTES, options.kills * _SECONDS_A_KILL / 60)
    return options


if __name__ == "__main__":
    sys.exit(main())
