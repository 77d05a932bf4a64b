from typing import Any

from django.conf import settings
from django.core.management import CommandError, CommandParser

from matching.commandline.command import ProjectCommand
from matching.commandline.number_options import whole_number
from matching.core.errors import LogNotReady
from matching.storage.input_logs import kafka_topic


class Command(ProjectCommand):
    help = (
        "Create the Kafka topic of the input log (KAFKA_COMMAND_TOPIC) with the required settings; if it exists, "
        "check its settings."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--copies",
            type=whole_number(1, 32_767),
            default=3,
            metavar="N",
            help="replication factor (default: 3); 1: without redundancy",
        )

    def handle(self, *, copies: int, **options: Any) -> str:
        servers, name = settings.KAFKA_BOOTSTRAP_SERVERS, settings.KAFKA_COMMAND_TOPIC
        if not servers:
            raise CommandError("KAFKA_BOOTSTRAP_SERVERS is not set: name at least one HOST:PORT.", returncode=2)
        try:
            is_new = kafka_topic.create(servers, name, copies, settings.KAFKA_OPTIONS)
            if not is_new:
                kafka_topic.find(servers, name, settings.KAFKA_OPTIONS)
        except LogNotReady as error:
            raise CommandError(str(error), returncode=2) from error
        return (
            f"created topic {name} with {copies} copies"
            if is_new
            else f"topic {name} exists, with the required settings"
        )
