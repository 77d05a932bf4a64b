from io import StringIO
from typing import Any

from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import Error as DatabaseError

from exchange_site.operations import first_start
from matching.commandline.command import ProjectCommand
from matching.core import kernel
from matching.core.errors import MatchingError
from settlement import wiring
from settlement.errors import CannotRun
from settlement.project import compiling


class Command(ProjectCommand):
    help = "Create what the programs need: secret key, tables, administrator, compiled kernel. Safe to run again."

    def handle(self, **options: Any) -> None:
        try:
            wiring.refuse_lost_database()
            if not settings.SECRET_KEY_IS_GIVEN:
                first_start.keep_secret(settings.SECRET_KEY_FILE, random_bytes=48)
            self.stderr.write("creating missing tables")
            call_command("migrate", interactive=False, verbosity=0)
            call_command("init_store", stdout=StringIO())  # creates tables in a store other than Django's database
            if first_start.make_administrator(settings.ADMIN_PASSWORD_FILE):
                self.stderr.write(f"created the account {first_start.ADMINISTRATOR}")
            if first_start.complete_signing_keys():
                self.stderr.write("added keys that sign checkpoints")
            kernel.compile_now()  # once, here: otherwise each program would compile it
            compiling.compile_now()
        except (CannotRun, MatchingError) as error:
            raise CommandError(str(error), returncode=2) from error
        except (DatabaseError, OSError) as error:
            raise CommandError(f"cannot prepare {settings.DATA_DIR}: {error}", returncode=2) from error
