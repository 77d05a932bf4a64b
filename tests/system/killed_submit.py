"""A program that runs `submit --resume` in processes that kill themselves, then once more without a kill.

`python -m tests.system.killed_submit FILE ADDRESS KILLS SEED`. Each process kills itself before or after a random one
of its first writes to the journal and sends to the engine; this program prints which. The last line printed is the
summary of the run that was not killed.
"""

import os
import random
import signal
import sys
from collections.abc import Callable
from io import StringIO
from typing import Any

import django
from django.core.management import call_command

from matching.client.connection import Connection
from matching.client.submission_journal import Journal

FEWEST, MOST = 1, 12


def moment_of_death(chance: random.Random) -> tuple[int, bool]:
    """At which write or send the process kills itself, and whether before it."""
    return chance.randint(FEWEST, MOST), chance.random() < 0.5


def kill_at(step: int, before: bool) -> None:
    """Makes this process kill itself at its `step`-th action; writes to the journal and sends to the engine count."""
    done = 0

    def wrapped(action: Callable[..., Any]) -> Callable[..., Any]:
        def acting(*arguments: Any) -> Any:
            nonlocal done
            done += 1
            if done == step and before:
                os.kill(os.getpid(), signal.SIGKILL)
            result = action(*arguments)
            if done == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return acting

    Journal._write = wrapped(Journal._write)  # type: ignore[method-assign]
    Connection.send = wrapped(Connection.send)  # type: ignore[method-assign]


def submit(file: str, address: str) -> str:
    out = StringIO()
    call_command("submit", file, "--address", address, "--resume", "--batch", "9", stdout=out, stderr=StringIO())
    return out.getvalue()


def main(file: str, address: str, kills: int, seed: int) -> None:
    django.setup()
    chance = random.Random(seed)
    for kill in range(kills):
        step, before = moment_of_death(chance)
        pid = os.fork()
        if pid == 0:
            kill_at(step, before)
            submit(file, address)
            os._exit(0)
        ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(f"{kill + 1}: {'before' if before else 'after'} step {step} of seed {seed}: {ended}", flush=True)  # noqa: T201
    print(submit(file, address).strip())  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
