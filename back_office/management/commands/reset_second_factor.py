from typing import Any

from django.contrib.auth.models import User
from django.core.management import CommandError, CommandParser
from django.db import Error as DatabaseError

from back_office.audit.codes import Action
from back_office.second_factor import recorded
from settlement.commandline import COULD_NOT_RUN, ExchangeCommand


class Command(ExchangeCommand):
    help = "Remove the second factor of an account whose owner has lost the device and the backup codes."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="name of the account")
        parser.add_argument("--reason", required=True, metavar="TEXT", help="why; it is kept in the audit log")

    def handle(self, *, name: str, reason: str, **options: Any) -> str:
        if not reason.strip():
            raise CommandError("Say why: the reason is kept in the audit log.", returncode=COULD_NOT_RUN)
        try:
            user = User.objects.filter(username=name).first()
            if user is None:
                raise CommandError(f"There is no account {name!r}.", returncode=COULD_NOT_RUN)
            if not recorded.remove(user, Action.SECOND_FACTOR_RESET, reason):
                raise CommandError(f"{name} has no second factor.", returncode=COULD_NOT_RUN)
        except DatabaseError as error:
            raise CommandError(f"Nothing was changed: {error}", returncode=COULD_NOT_RUN) from error
        return f"{name} has no second factor any more."
