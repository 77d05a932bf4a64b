"""The loops of a projection are compiled before the first block, not by it."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PROGRAM = """
import os
import django
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
django.setup()

from ledger import balances as ledger_balances, legs
from settlement.project import compiling
from settlement.project.columns import key_index, orders, trades, trail_lines
from settlement.project.projection import EmptyTables, Projector
from settlement.project.trail import texts_by_day
from tests.settlement.every_command import market

modules = (ledger_balances, legs, key_index, orders, trades, trail_lines)
found = {f"{m.__name__}.{n}": f for m in modules for n, f in vars(m).items() if hasattr(f, "nopython_signatures")}
loops = {name: loop for name, loop in found.items() if not loop.targetoptions.get("forceinline")}
compiling.compile_now()
before = {name: len(loop.nopython_signatures) for name, loop in loops.items()}
projector = Projector(EmptyTables(), kept=None)
for block in market().blocks:
    list(texts_by_day(projector.project([block]).trades, projector.registry))
after = {name: len(loop.nopython_signatures) for name, loop in loops.items()}
print(sorted(name for name in loops if after[name] > before[name]), len(loops) > 8)
"""


def test_the_first_projection_compiles_nothing(data_dir: Path) -> None:
    environment = {**os.environ, "DATA_DIR": str(data_dir)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[-1:] == ["[] True"], done.stderr
