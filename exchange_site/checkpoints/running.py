"""Makes the signer of a process from the site's settings."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
from django.conf import settings

from exchange_site.checkpoints.outbox import Outbox
from exchange_site.checkpoints.place_names import place_names
from exchange_site.checkpoints.places import InStore, places_of
from exchange_site.checkpoints.signer import OwnBlocks, Schedule, Signer
from matching.commandline.own_keys import KeyName, key_folder, register_file
from settlement import wiring

log = structlog.get_logger(__name__)


@contextmanager
def signing(key: KeyName, blocks: OwnBlocks) -> Iterator[None]:
    """Signs checkpoints in threads until the end of the context. Does nothing with PLAIN_SOCKETS.

    Raises CannotRun, KeysUnusable, PlaceInvalid.
    """
    own = None if settings.PLAIN_SOCKETS else key_folder(Path(settings.DATA_DIR)).own_key(key.role, key.name)
    if own is not None and not own.signing_secret:
        log.warning("checkpoints.no_signing_key", role=own.role.value, name=own.name)
    if own is None or not own.signing_secret:
        yield
        return
    outbox = Outbox([InStore(wiring.store()), *places_of(place_names(settings.CHECKPOINT_PLACES))])
    signer = Signer(
        store=wiring.store(),
        own=own,
        exchange=register_file().current().exchange,
        blocks=blocks,
        hand_over=outbox.add,
        schedule=Schedule(settings.CHECKPOINT_BLOCKS, settings.CHECKPOINT_SECONDS),
    )
    with outbox.running(), signer.running():  # the signer ends first
        yield
