"""Settlement that appends and confirms blocks and projects none: what appending alone can do.

python -m benchmarks.append_only
"""

import os
import sys
from dataclasses import replace

from matching.commandline.interruption import stop_on_signals


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exchange_site.settings")
    from exchange_site.startup import set_up

    set_up()
    from exchange_site.management.commands.run_settlement import settle
    from settlement import wiring, worker_status

    stop, tables = stop_on_signals(), wiring.worker_store()
    options = replace(wiring.options(), is_projecting=False)
    wiring.collect_garbage_rarely()
    settle(tables, tables, wiring.store_lock(), stop.is_set, options, worker_status.Newest(), {})
    return 0


if __name__ == "__main__":
    sys.exit(main())
