import os
import sys
import threading
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import BaseCommand, CommandError, call_command

from exchange_site import addresses
from exchange_site.checks import HTTP_ADDRESSES, ZMQ_ADDRESSES
from exchange_site.operations import readiness, supervisor


class Command(BaseCommand):
    help = "Start everything in the Procfile, say when it is ready and how to log in, stop it all on Ctrl-C."

    def handle(self, **options: Any) -> None:
        try:
            refuse_ports_in_use()
            call_command("prepare_run")
            programs = supervisor.read_procfile(settings.BASE_DIR / "Procfile")
        except (OSError, ValueError) as error:
            raise CommandError(str(error), returncode=2) from error
        watch = threading.Thread(target=self.announce, daemon=True)
        watch.start()
        ended = supervisor.supervise(programs, environment(), self.say)
        if ended:
            raise CommandError("one of the programs ended; its last lines say why")

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
    """Say which setting is in the way, before anything is started."""
    for name in (*ZMQ_ADDRESSES, *HTTP_ADDRESSES):
        parse = addresses.parse_zmq_endpoint if name in ZMQ_ADDRESSES else addresses.parse_host_port
        where = parse(getattr(settings, name))
        if where is None:
            continue
        try:
            addresses.refuse_port_in_use(where)
        except addresses.PortInUseError as error:
            raise CommandError(
                f"{name}: {error.strerror}. Stop what runs there, or set {name}.", returncode=2
            ) from error


def environment() -> dict[str, str]:
    """The programs' environment: this Python's programs first, and lines that come as they are written."""
    here = str(Path(sys.executable).parent)
    path = os.pathsep.join([here, os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}
