"""Makes the signer of a process from the site's settings."""

import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import structlog
from django.conf import settings

from exchange_site.checkpoints.place_names import place_names
from exchange_site.checkpoints.places import InStore, Outbox, places_of
from exchange_site.checkpoints.signer import OwnBlocks, Schedule, Signer
from matching.commandline.own_keys import KeyName, key_folder, register_file
from settlement import wiring

log = structlog.get_logger(__name__)


def signing(key: KeyName, blocks: OwnBlocks) -> AbstractContextManager[None]:
    """Signs checkpoints in a thread until the end of the context. Does nothing with PLAIN_SOCKETS.

    Raises CannotRun, KeysUnusable, PlaceInvalid.
    """
    if settings.PLAIN_SOCKETS:
        return nullcontext()
    own = key_folder(Path(settings.DATA_DIR)).own_key(key.role, key.name)
    if not own.signing_secret:
        log.warning("checkpoints.no_signing_key", role=own.role.value, name=own.name)
        return nullcontext()
    store = wiring.store()
    outbox = Outbox([InStore(store), *places_of(place_names(settings.CHECKPOINT_PLACES))], time.monotonic)
    signer = Signer(
        store=store,
        own=own,
        exchange=register_file().current().exchange,
        blocks=blocks,
        outbox=outbox,
        schedule=Schedule(settings.CHECKPOINT_BLOCKS, settings.CHECKPOINT_SECONDS),
    )
    return signer.running()
