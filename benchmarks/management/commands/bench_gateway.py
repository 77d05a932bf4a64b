import json
from pathlib import Path
from typing import Any

from django.core.management import CommandError, CommandParser

from benchmarks.bench_command import BenchCommand
from benchmarks.gateway import gateway_bench
from benchmarks.processes import BenchError
from matching.commandline.interruption import stoppable
from matching.commandline.number_options import command_count
from matching.core.errors import MatchingError


class Command(BenchCommand):
    help = "Measure the traders' API: orders by session and by REST, queries, streams, and the engine client beside it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--orders", type=command_count, default=20_000, metavar="N", help="orders of each kind")
        parser.add_argument("--queries", type=command_count, default=20_000, metavar="N")
        parser.add_argument(
            "--rate", type=command_count, default=1000, metavar="N", help="orders a second where delays are measured"
        )
        parser.add_argument("--consumers", type=command_count, default=100, metavar="N", help="consumers of a stream")
        self.add_folder(parser)
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON document")

    def handle(self, *, folder: Path | None, as_json: bool, **options: Any) -> str:
        self.refuse_missing(folder)
        sizes = gateway_bench.Sizes(options["orders"], options["queries"], options["rate"], options["consumers"])
        try:
            with stoppable():
                found = gateway_bench.measure(sizes, parent=folder, say=self.say)
        except (BenchError, MatchingError, OSError) as error:
            raise CommandError(str(error), returncode=2) from error
        return json.dumps(found) if as_json else text(found)


def text(found: dict[str, Any]) -> str:
    lines = [
        f"{title:<34} {found[name]['per_second']:>8,}/s   p50 {found[name]['p50_us']:>9,.0f} µs   "
        f"p99 {found[name]['p99_us']:>9,.0f} µs{_cpu(found[name])}"
        for title, name in (
            ("orders by a session, pipelined", "session"),
            ("orders by REST, HMAC", "rest_hmac"),
            ("orders by REST, Ed25519", "rest_ed25519"),
            ("queries by REST", "queries"),
        )
    ]
    rate = f"at {found['sizes']['per_second']:,}/s"
    for title, name in (
        (f"orders by a session {rate}", "session_at_rate"),
        ("of which until they were sent", "sent_late"),
        (f"engine client {rate}", "engine_at_rate"),
    ):
        lines.append(f"{title:<45}   p50 {found[name]['p50_us']:>9,.0f} µs   p99 {found[name]['p99_us']:>9,.0f} µs")
    lines.append(f"ratio of these p50s: {found['ratio_p50']}")
    for streams in (found["streams"], found["long_streams"]):
        lines.append(
            f"stream: {streams['messages_per_second']:,} messages/s of {streams['bytes']} bytes "
            f"to {streams['consumers']} consumers{_cpu(streams)}"
        )
    return "\n".join(lines)


def _cpu(figures: dict[str, Any]) -> str:
    """The gateway's CPU time for each request or message, if it is known."""
    return f"   CPU {figures['gateway_cpu_us']:>6,.1f} µs" if "gateway_cpu_us" in figures else ""
