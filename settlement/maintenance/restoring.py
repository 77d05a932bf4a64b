"""The command `restore`: fills the store from what files hold, projects the new blocks and verifies everything."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from matching.core.engine import Engine
from matching.core.epochs import Epoch
from settlement.audit import verify
from settlement.clock import Clock
from settlement.maintenance import kept_blocks
from settlement.maintenance.filling import Filled, Progress, fill
from settlement.maintenance.kept_blocks import Source
from settlement.options import Options
from settlement.project import rebuilding
from settlement.project.dead_letters import DeadLetters
from settlement.project.trail import Trail
from settlement.stores.base import Store


class Place(NamedTuple):
    """Where to restore to."""

    store: Store
    data_dir: Path
    trail: Callable[[], Trail]
    letters: DeadLetters
    clock: Clock
    options: Options
    leader: Epoch
    """Name and addresses of the engine of DATA_DIR, for epochs that are known only from the blocks."""


class Restored(NamedTuple):
    filled: Filled
    projected: int
    verified: verify.Report


def restore(
    place: Place,
    stop: Callable[[], bool],
    beside: Sequence[Source] = (),
    recorded: Sequence[Epoch] = (),
    progress: Progress = lambda done, last: None,
) -> Restored:
    """Can be repeated after it was killed: it goes on with what the store has then.

    `beside` are a backup and rings of engines; `recorded` are the epochs of the backup. Raises what `fill` and
    `rebuild` raise.
    """
    sources = [*beside, *kept_blocks.sources(place.data_dir)]
    filled = fill(place.store, sources, Engine(), place.leader, recorded, progress)
    projected = project_rest(place, stop, progress)
    verified = verify.verify(place.store, place.data_dir, Engine(), progress=progress)
    return Restored(filled, projected, verified)


def project_rest(place: Place, stop: Callable[[], bool], progress: Progress) -> int:
    """Writes the rows and the trail of the stored blocks that have none yet. Returns the last of these blocks.

    Raises what `rebuild` raises.
    """
    trail = place.trail()
    try:
        return rebuilding.rebuild(
            place.store,
            trail=trail,
            letters=place.letters,
            clock=place.clock,
            stop=stop,
            options=place.options,
            from_block=place.store.projected().block_number + 1,
            progress=progress,
        )
    finally:
        trail.close()
