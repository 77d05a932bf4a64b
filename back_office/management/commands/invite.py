from typing import Any

from django.core.management import CommandError, CommandParser
from django.db import Error as DatabaseError

from back_office.access.invitations import CannotInvite, address_of, invite
from settlement.commandline import COULD_NOT_RUN, ExchangeCommand


class Command(ExchangeCommand):
    help = "Make an account with a role for the back office, and print a link where its owner sets a password, once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="name of the new account")
        parser.add_argument(
            "--role", required=True, metavar="ROLE", help="such as viewer; see docs/back-office-roles.md"
        )
        parser.add_argument(
            "--site", metavar="URL", help="address of the site, such as https://exchange.example; default: WEB_ADDRESS"
        )

    def handle(self, *, name: str, role: str, site: str | None, **options: Any) -> None:
        try:
            user = invite(name, role)
            self.stdout.write(address_of(user, site))
        except CannotInvite as error:
            raise CommandError(str(error), returncode=COULD_NOT_RUN) from error
        except DatabaseError as error:
            raise CommandError(f"The account was not made: {error}", returncode=COULD_NOT_RUN) from error
