from typing import Any

from django.core.management import CommandError, CommandParser

from exchange_site.operations.register_exchange import RegisterExchange, ask_store, publish
from matching.commandline.own_keys import key_folder, register_file
from matching.storage.key_making import public_key_of, revoke_key
from matching.transport.key_register import KeyRole
from settlement.commandline import CHECK_FAILED, COULD_NOT_RUN, ExchangeCommand


class Command(ExchangeCommand):
    help = (
        "Revoke a key: engines on this machine refuse it at once, others within a second or two, also on open "
        "connections. Needs root.key."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "key", nargs="+", metavar="ROLE NAME | PUBLIC", help="role and name of a key, or its public key in quotes"
        )

    def handle(self, *, key: list[str], **options: Any) -> str:
        keys = key_folder()
        ask_store(RegisterExchange(register_file()).pass_on)  # to change the newest register
        public = _public_key(key)
        register = revoke_key(keys, public)
        self.so_far = "the key is revoked on this machine"
        if not ask_store(lambda store: publish(store, register_file()), self.stderr.write):
            raise CommandError(
                "The key is revoked on this machine only: run this again when the store answers.",
                returncode=CHECK_FAILED,
            )
        revoked = register.keys[public]
        return f"revoked {revoked.role} {revoked.name}, public key '{public}', register serial {register.serial}"


def _public_key(key: list[str]) -> str:
    """Raises CommandError, KeyRefused."""
    if len(key) == 1:
        return key[0]
    if len(key) > 2 or key[0] not in list(KeyRole):
        raise CommandError(
            f"Name one key: its role ({', '.join(KeyRole)}) and name, or its public key in quotes.",
            returncode=COULD_NOT_RUN,
        )
    return public_key_of(register_file().current(), KeyRole(key[0]), key[1])
