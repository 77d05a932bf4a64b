"""The signer of a process, made from the settings."""

import threading
from pathlib import Path

import pytest
from pytest_django import Settings
from structlog.testing import capture_logs

from exchange_site.checkpoints.running import signing
from exchange_site.checkpoints.signer import OwnBlocks
from matching.commandline.own_keys import SETTLEMENT_KEY, key_folder, register_file
from matching.storage.local_keys import make_local_keys
from matching.transport.signed_checkpoints import read_signed
from settlement.receive.chain import stored
from settlement.stores.sql.store import SqlStore
from tests.matching.earlier_keys import without_signing_keys
from tests.settlement.chains import worked_example

BLOCKS = worked_example().blocks
NO_BLOCKS = OwnBlocks(lambda number: None, lambda: None)


@pytest.fixture(autouse=True)
def with_keys(data_dir: Path, settings: Settings) -> None:
    settings.PLAIN_SOCKETS = False
    settings.CHECKPOINT_PLACES = [str(data_dir / "evidence")]
    make_local_keys(key_folder())


@pytest.mark.django_db(transaction=True)  # the signer's thread has a connection of its own
def test_checkpoints_are_in_the_store_and_in_the_folder_of_the_settings(data_dir: Path) -> None:
    SqlStore().append_blocks([stored(block) for block in BLOCKS])
    with signing(SETTLEMENT_KEY, NO_BLOCKS):
        assert "checkpoints" in {thread.name for thread in threading.enumerate()}
    (row,) = SqlStore().signed_checkpoints(len(BLOCKS))
    assert (row.block_number, row.signer) == (len(BLOCKS), "settlement-local")
    assert (data_dir / "evidence" / "settlement-local.jsonl").read_bytes() == row.document + b"\n"
    assert read_signed(row.document, register_file().current()).point.state_hash == BLOCKS[-1].hash


def test_without_keys_nothing_is_signed(settings: Settings) -> None:
    settings.PLAIN_SOCKETS = True
    with signing(SETTLEMENT_KEY, NO_BLOCKS):
        assert "checkpoints" not in {thread.name for thread in threading.enumerate()}


def test_a_key_of_an_earlier_version_signs_nothing_and_says_so() -> None:
    without_signing_keys(key_folder())
    with capture_logs() as logs, signing(SETTLEMENT_KEY, NO_BLOCKS):
        pass
    assert [(line["event"], line["role"], line["name"]) for line in logs] == [
        ("checkpoints.no_signing_key", "settlement", "local")
    ]
