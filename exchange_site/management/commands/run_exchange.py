import os
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import CommandError, CommandParser, call_command

from exchange_site.configuration import addresses
from exchange_site.configuration.checks import HTTP_ADDRESSES, SETTINGS, ZMQ_ADDRESSES
from exchange_site.operations import readiness, supervisor
from exchange_site.operations.program_logs import ProgramLogs
from exchange_site.operations.supervisor import Program
from matching.commandline.command import ProjectCommand


class Command(ProjectCommand):
    help = (
        "Start all programs of the Procfile, print the address and login when they are ready, and stop them on Ctrl-C."
    )
    requires_system_checks = (SETTINGS,)  # for the warnings about open addresses

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--verbose", action="store_true", help="show all output of the programs, not only warnings")

    def handle(self, *, verbose: bool, **options: Any) -> None:
        try:
            refuse_ports_in_use()
            call_command("prepare_run")
            programs = supervisor.read_procfile(settings.BASE_DIR / "Procfile")
            logs = self.open_logs(programs, verbose=verbose)
        except (OSError, ValueError) as error:
            raise CommandError(str(error), returncode=2) from error
        watch = threading.Thread(target=self.announce, daemon=True)
        watch.start()
        with closing(logs):
            ended = supervisor.supervise(programs, environment(), self.say, logs)
        if ended:
            raise CommandError(f"one of the programs ended; see the end of its log in {settings.PROGRAM_LOG_FOLDER}")

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
