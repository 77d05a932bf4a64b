"""A program that runs manage.py commands and blocks each one at a given point, so that a test can send it a signal.

It reads one JSON line for each command from standard input: {"arguments": […], "import": module or null, "folder": …}.
The command runs in a process of its own. That process blocks when it imports the module, or in the command's `handle`
if no module is given, and then writes "blocked" to `folder`/out. This program prints the process id, and the exit code
when the process has ended, each on a line.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import django
from django.core import management
from django.core.management import BaseCommand

import manage

_WAIT_S = 0.05

load_command_class = management.load_command_class


def block(*arguments: Any, **options: Any) -> NoReturn:
    os.write(1, b"blocked\n")
    while True:
        # Not without end: Python handles a signal that arrives just before the wait only when the wait ends.
        threading.Event().wait(_WAIT_S)


class BlockingFinder(MetaPathFinder):
    def __init__(self, module: str) -> None:
        self._module = module

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == self._module:
            block()
        return None


def with_blocked_handle(app: str, name: str) -> BaseCommand:
    command = load_command_class(app, name)
    command.handle = block  # type: ignore[method-assign]
    return command


def run(arguments: list[str], module: str | None, folder: Path) -> NoReturn:
    for number, name in ((1, "out"), (2, "errors")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT, 0o600), number)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the tests may have been started with SIGINT ignored
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.argv = ["manage.py", *arguments]
    if module:
        for loaded in [name for name in sys.modules if name == module or name.startswith(f"{module}.")]:
            del sys.modules[loaded]
        sys.meta_path.insert(0, BlockingFinder(module))
    else:
        management.load_command_class = with_blocked_handle  # type: ignore[assignment]
    code: Any = 0
    try:
        manage.main()
    except SystemExit as error:
        code = error.code
    finally:
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exchange_site.settings")
    django.setup()
    for name, app in management.get_commands().items():
        load_command_class(app, name)  # imported here once, so that the forked processes need not
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            run(asked["arguments"], asked["import"], Path(asked["folder"]))
        print(pid, flush=True)  # noqa: T201
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
