import json
from pathlib import Path
from typing import Any

from django.core.management import CommandError, CommandParser

from benchmarks.kernel.engine_bench import Measured, NotDeterministic, measure
from matching.commandline import progress
from matching.commandline.command import ProjectCommand
from matching.commandline.interruption import stoppable
from matching.commandline.number_options import command_count, seed_number, whole_number
from matching.core.errors import BadFile
from matching.workloads import generated

_SPANS = (1, 10_000), (1, 10_000_000), (0, 10_000_000)


class Command(ProjectCommand):
    help = "Measure commands a second through the kernel, in blocks of 512, funds, fees, events and hash included."

    def add_arguments(self, parser: CommandParser) -> None:
        shapes = "|".join(generated.SHAPES)
        parser.add_argument("--workload", action="append", metavar=f"{shapes}|FILE.npy", help="may be repeated")
        instruments, accounts, resting = (whole_number(*span) for span in _SPANS)
        generated_only = "only for a generated workload"
        parser.add_argument("--commands", type=command_count, default=1_000_000, metavar="N", help=generated_only)
        parser.add_argument("--instruments", type=instruments, default=1, metavar="N", help=generated_only)
        parser.add_argument(
            "--accounts",
            type=accounts,
            default=1000,
            metavar="N",
            help="at least one per instrument",
        )
        parser.add_argument("--resting", type=resting, metavar="N", help="orders in the book at the start")
        parser.add_argument("--seed", type=seed_number, default=1, help="seed of a generated workload")
        parser.add_argument("--repetitions", type=whole_number(1, 10_000), default=5, metavar="N")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(self, *, workload: list[str] | None, repetitions: int, as_json: bool, **options: Any) -> str:
        names = workload or list(generated.SHAPES)
        if options["accounts"] < options["instruments"]:
            raise CommandError("--accounts must be at least --instruments.", returncode=2)
        with (
            stoppable(),
            progress.bar("bench_engine", "runs", total=len(names) * (repetitions + 1)) as shown,
        ):
            try:
                found = [measure(made(name, **options), repetitions, shown.update) for name in names]
            except BadFile as error:
                raise CommandError(str(error), returncode=2) from error
            except OSError as error:
                raise CommandError(f"{error.filename}: {error.strerror}.", returncode=2) from error
            except NotDeterministic as error:
                raise CommandError(str(error), returncode=1) from error
        documents = [one.document() for one in found]
        return json.dumps(documents[0] if len(names) == 1 else documents) if as_json else table(found)


def made(
    name: str, commands: int, instruments: int, accounts: int, resting: int | None, seed: int, **others: Any
) -> generated.Workload:
    """The workload that an option names. Raises BadFile, OSError."""
    if name not in generated.SHAPES:
        return generated.load(Path(name))
    return generated.generate(name, commands, seed=seed, instruments=instruments, accounts=accounts, resting=resting)


def table(found: list[Measured]) -> str:
    return "\n".join(line(one) for one in found)


def line(one: Measured) -> str:
    document = one.document()
    speed, cpu = document["commands_per_second"], document["commands_per_cpu_second"]
    return (
        f"{one.workload}: {speed['median']:,} commands/s (min {speed['min']:,}, max {speed['max']:,}; "
        f"{document['repetitions']} runs of {one.commands:,}; {cpu['median']:,} a CPU second), "
        f"{one.totals.trades:,} trades of {one.totals.traded_quantity:,}, {one.totals.events:,} events, "
        f"{one.resting_before:,} orders resting at the start and {one.resting_after:,} at the end, "
        f"instruments {one.instruments:,}, accounts {one.accounts:,}, state {one.totals.state_hash}"
    )
