import json
from pathlib import Path
from typing import Any

from django.core.management import BaseCommand, CommandError, CommandParser

from benchmarks.engine_bench import Measured, Unequal, measure
from matching.commandline import progress
from matching.commandline.interruption import stoppable
from matching.core.errors import BadFile
from matching.workloads import generated


class Command(BaseCommand):
    help = "Measure commands a second through the kernel, in blocks of 512, funds, fees, events and hash included."

    def add_arguments(self, parser: CommandParser) -> None:
        shapes = "|".join(generated.SHAPES)
        parser.add_argument("--workload", action="append", metavar=f"{shapes}|FILE.npy", help="may be given again")
        parser.add_argument("--commands", type=int, default=1_000_000, metavar="N", help="of a generated workload")
        parser.add_argument("--instruments", type=int, default=1, metavar="N", help="of a generated workload")
        parser.add_argument("--accounts", type=int, default=1000, metavar="N", help="of a generated workload")
        parser.add_argument(
            "--resting", type=int, metavar="N", help="orders in the books at the start; default: by shape"
        )
        parser.add_argument("--seed", type=int, default=1, help="of a generated workload")
        parser.add_argument("--repetitions", type=int, default=5, metavar="N")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(self, *, workload: list[str] | None, repetitions: int, as_json: bool, **options: Any) -> str:
        names = workload or list(generated.SHAPES)
        with (
            stoppable(),
            progress.bar("bench_engine", "runs", total=len(names) * (repetitions + 1)) as shown,
        ):
            try:
                refuse_impossible(repetitions, **options)
                found = [measure(made(name, **options), repetitions, shown.update) for name in names]
            except BadFile as error:
                raise CommandError(str(error), returncode=2) from error
            except OSError as error:
                raise CommandError(f"{error.filename}: {error.strerror}.", returncode=2) from error
            except Unequal as error:
                raise CommandError(str(error), returncode=1) from error
        documents = [one.document() for one in found]
        return json.dumps(documents[0] if len(names) == 1 else documents) if as_json else table(found)


def refuse_impossible(
    repetitions: int, commands: int, instruments: int, accounts: int, resting: int | None, seed: int, **others: Any
) -> None:
    """Raises CommandError for numbers that no workload has."""
    if min(repetitions, commands, instruments) < 1 or accounts < instruments or seed < 0 or (resting or 0) < 0:
        raise CommandError(
            "--repetitions, --commands and --instruments are 1 or more, --accounts no fewer than --instruments, "
            "--seed and --resting not negative.",
            returncode=2,
        )


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
