import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import CommandError, CommandParser

from benchmarks import durable_bench, pipeline_bench
from benchmarks.bench_command import BenchCommand
from benchmarks.processes import BenchError
from benchmarks.store_bench import STORES
from matching.commandline.interruption import stoppable
from matching.commandline.number_options import command_count, seed_number, whole_number
from matching.core.errors import MatchingError
from settlement.stores.base import StoreError


class Command(BenchCommand):
    help = "Measure client → engine → settlement → store, on processes, ports and a DATA_DIR of its own."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--commands", type=command_count, default=400_000, metavar="N", help="to send in batches")
        parser.add_argument(
            "--samples",
            type=command_count,
            default=4000,
            metavar="N",
            help="commands sent one at a time",
        )
        parser.add_argument(
            "--turns",
            type=whole_number(0),
            default=2,
            metavar="N",
            help="of the same commands with and without projection; 0: none",
        )
        parser.add_argument("--store", choices=STORES, help="default: SETTLEMENT_STORE")
        parser.add_argument("--seed", type=seed_number, default=1)
        self.add_folder(parser)
        parser.add_argument("--plain", action="store_true", help="its sockets use no keys, to compare")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(
        self,
        *,
        store: str | None,
        commands: int,
        samples: int,
        turns: int,
        seed: int,
        folder: Path | None,
        plain: bool,
        as_json: bool,
        **options: Any,
    ) -> str:
        self.refuse_missing(folder)
        try:
            with stoppable():
                name = store or settings.SETTLEMENT_STORE
                found = pipeline_bench.measure(
                    commands, samples, store=name, seed=seed, parent=folder, say=self.say, is_plain=plain
                )
                durable = None
                if turns:
                    durable = durable_bench.measure(
                        commands, turns=turns, store=name, seed=seed, parent=folder, say=self.say, is_plain=plain
                    )
        except (BenchError, MatchingError, StoreError, OSError) as error:
            raise CommandError(str(error), returncode=2) from error
        if as_json:
            return json.dumps({**found.document(), "durable": durable.document() if durable else None})
        return "\n".join((text(found), *(durable_bench.text(durable) if durable else ())))


def text(found: pipeline_bench.Pipeline) -> str:
    through, trading, latency = found.throughput, found.trading, found.latency
    rates, ratios = through.rates(), latency.ratios()
    return "\n".join(
        (
            f"{found.store}: {through.commands:,} commands in batches of {found.batch_commands}, "
            f"{through.trades:,} trades, {through.events:,} events, {through.blocks:,} blocks, on {found.cpus} CPUs",
            f"  answered    {through.seconds_answered:7.2f} s  {rates['commands_per_second_answered']:>9,} commands/s",
            f"  durable     {through.seconds_durable:7.2f} s  {rates['commands_per_second_durable']:>9,} commands/s  "
            f"(CPU {shares(through.cpu_seconds_durable)})",
            f"  projected   {through.seconds_projected:7.2f} s  {rates['trades_per_second_projected']:>9,} trades/s    "
            f"(CPU {shares(through.cpu_seconds_projected)})",
            f"{trading.commands:,} commands in pairs that trade at once, {trading.trades:,} trades, "
            f"{trading.events:,} events",
            f"  projected   {trading.seconds_projected:7.2f} s  "
            f"{trading.rates()['trades_per_second_projected']:>9,} trades/s    "
            f"(CPU {shares(trading.cpu_seconds_projected)})",
            f"{latency.samples:,} commands one at a time: p50 {latency.p50_us:.0f} µs, p99 {latency.p99_us:.0f} µs",
            f"  bare ZeroMQ round trip of the same sizes: p50 {latency.bare_p50_us:.0f} µs, "
            f"p99 {latency.bare_p99_us:.0f} µs; ratios {ratios['p50_ratio']} and {ratios['p99_ratio']}",
        )
    )


def shares(seconds: dict[str, float]) -> str:
    return ", ".join(f"{name} {used:.1f} s" for name, used in seconds.items())
