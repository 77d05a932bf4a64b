import logging
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import CommandError, CommandParser, call_command

from back_office import program_states
from back_office.program_states import ProgramState
from exchange_site.configuration import addresses
from exchange_site.configuration.address_checks import HTTP_ADDRESSES, ZMQ_ADDRESSES
from exchange_site.configuration.check_tags import SETTINGS
from exchange_site.operations import readiness, supervisor
from exchange_site.operations.child_process import Program
from exchange_site.operations.program_logs import ProgramLogs
from matching.commandline.command import ProjectCommand

MAY_END = frozenset({"demo"})
"""Programs that are not started again once they have done their work."""


@contextmanager
def only_warnings() -> Iterator[None]:
    """Log events of this process are shown as those of the programs are: from warnings on."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(max(before, logging.WARNING))
    try:
        yield
    finally:
        root.setLevel(before)


class Command(ProjectCommand):
    help = (
        "Start all programs of the Procfile, print the address and login when they are ready, start again those that"
        " die, and stop them on Ctrl-C."
    )
    requires_system_checks = (SETTINGS,)  # for the warnings about open addresses

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--verbose", action="store_true", help="show all output of the programs, not only warnings")

    def handle(self, *, verbose: bool, **options: Any) -> None:
        try:
            refuse_ports_in_use()
            with nullcontext() if verbose else only_warnings():
                call_command("prepare_run")
            programs = supervisor.read_procfile(settings.BASE_DIR / "Procfile")
            logs = self.open_logs(programs, verbose=verbose)
        except (OSError, ValueError) as error:
            raise CommandError(str(error), returncode=2) from error
        watch = threading.Thread(target=self.announce, daemon=True)
        watch.start()
        with closing(logs):
            try:
                ended = supervisor.supervise(
                    programs, environment(), self.say, logs, may_end=MAY_END, note=self.note_states
                )
            except OSError as error:
                raise CommandError(f"a program cannot be started: {error}", returncode=2) from error
            finally:
                settings.PROGRAM_STATES_FILE.unlink(missing_ok=True)
        if ended:
            raise CommandError(f"a program cannot run; see the end of its log in {settings.PROGRAM_LOG_FOLDER}")

    def note_states(self, states: Sequence[ProgramState]) -> None:
        """For the overview. A full disk must not stop the exchange."""
        try:
            program_states.write(settings.PROGRAM_STATES_FILE, states)
        except OSError as error:
            self.say(f"the overview will not show restarts: {error}")

    def open_logs(self, programs: list[Program], *, verbose: bool) -> ProgramLogs:
        opened = ProgramLogs(
            settings.PROGRAM_LOG_FOLDER,
            max_bytes=settings.LOG_FILE_BYTES,
            kept=settings.LOG_FILES_KEPT,
            say=self.say,
            verbose=verbose,
        )
        for program in programs:
            opened.open(program.name)
        return opened

    def announce(self) -> None:
        silent = readiness.wait_until_ready(readiness.parts())
        if silent:
            self.say(f"still not ready: {', '.join(silent)}")
        else:
            self.stdout.write(readiness.welcome())
            self.stdout.flush()

    def say(self, line: str) -> None:
        self.stderr.write(line)


def refuse_ports_in_use() -> None:
    """Raises CommandError, which names the setting, if an address is in use."""
    for name in (*ZMQ_ADDRESSES, *HTTP_ADDRESSES):
        parse = addresses.parse_zmq_endpoint if name in ZMQ_ADDRESSES else addresses.parse_host_port
        where = parse(getattr(settings, name))
        if where is None:
            continue
        try:
            addresses.refuse_port_in_use(where)
        except addresses.PortInUseError as error:
            raise CommandError(
                f"{name}: {error.strerror}. Stop the program that uses it, or change {name}.", returncode=2
            ) from error


def environment() -> dict[str, str]:
    """The programs' environment: programs of this Python come first in PATH, and output is not buffered."""
    here = str(Path(sys.executable).parent)
    path = os.pathsep.join([here, os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}
