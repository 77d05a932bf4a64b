import json
import logging
import os
from typing import Any

from django.core.management import CommandError, CommandParser

from matching.commandline import progress
from matching.commandline.command import ProjectCommand
from matching.commandline.interruption import stoppable
from matching.commandline.number_options import number_range, whole_number
from simulator import seeds
from simulator.planted import defects
from simulator.run import Outcome

_MAX_PRINTED_FAILURES = 20


class Command(ProjectCommand):
    help = "Run engines, settlement and clients in a simulated world full of faults; a seed decides all of them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--seeds", type=number_range, required=True, metavar="A-B", help="the seeds to run, or one seed"
        )
        parser.add_argument(
            "--processes",
            type=whole_number(1, 1024),
            default=os.cpu_count() or 1,
            help="default: one per core",
        )
        parser.add_argument(
            "--defect", choices=sorted(defects.DEFECTS), metavar="NAME", help="plant this defect in the code"
        )
        parser.add_argument("--stop-at-failure", action="store_true", help="stop after the first seed that fails")
        parser.add_argument(
            "--show-log", action="store_true", help="show the log of simulated processes; all seeds run in one process"
        )
        parser.add_argument("--json", action="store_true")

    def handle(self, **options: Any) -> None:
        chosen = options["seeds"]
        processes = 1 if options["show_log"] or len(chosen) == 1 else options["processes"]
        if not options["show_log"]:
            logging.disable(logging.CRITICAL)
        try:
            summary = self.simulate(chosen, processes, options)
        finally:
            logging.disable(logging.NOTSET)
        self.stdout.write(_json(summary) if options["json"] else _text(summary))
        if summary.failed:
            failed = ", ".join(str(outcome.seed) for outcome in summary.failed[:_MAX_PRINTED_FAILURES])
            raise CommandError(f"{len(summary.failed)} of {summary.seeds} seeds failed: {failed}", returncode=1)

    def simulate(self, chosen: range, processes: int, options: dict[str, Any]) -> seeds.Summary:
        summary = seeds.Summary()
        reported: set[int] = set()

        def so_far() -> str:
            return f"{summary.seeds} of {len(chosen)} seeds were run, {len(summary.failed)} failed"

        with stoppable(so_far), progress.bar("simulating", "seeds", total=len(chosen)) as shown:
            for latest in seeds.simulate_all(
                chosen, processes=processes, defect=options["defect"], stop_at_failure=options["stop_at_failure"]
            ):
                summary = latest
                shown.update()
                if latest.failed and latest.failed[-1].seed not in reported:
                    reported.add(latest.failed[-1].seed)
                    self.stderr.write(_failure(latest.failed[-1]))
        return summary


def _failure(outcome: Outcome) -> str:
    return "\n".join([f"seed {outcome.seed} failed:", *(f"  {problem}" for problem in outcome.problems[:10])])


def _text(summary: seeds.Summary) -> str:
    lines = [f"{kind:<40} {count:>10,}" for kind, count in sorted(summary.counts.items())]
    lines.append(
        f"{summary.seeds - len(summary.failed):,} of {summary.seeds:,} seeds passed: "
        f"{summary.simulated_s / 3600:,.1f} simulated hours, {summary.blocks:,} blocks, {summary.answered:,} answers, "
        f"{60 * summary.seeds / max(summary.seconds, 1e-9):,.0f} seeds a minute"
    )
    return "\n".join(lines)


def _json(summary: seeds.Summary) -> str:
    return json.dumps(
        {
            "ok": not summary.failed,
            "seeds": summary.seeds,
            "failed": [{"seed": outcome.seed, "problems": outcome.problems} for outcome in summary.failed],
            "faults": dict(sorted(summary.counts.items())),
            "simulated_hours": round(summary.simulated_s / 3600, 2),
            "blocks": summary.blocks,
            "answers": summary.answered,
            "seeds_a_minute": round(60 * summary.seeds / max(summary.seconds, 1e-9), 1),
        }
    )
