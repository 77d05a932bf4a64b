"""Claims: settlement confirms from the spill only blocks that a recovering engine has read there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange_site.engine_host.store_history import StoreHistory
from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.core.epochs import Epoch
from matching.storage.history import HistoryUnavailable
from settlement.durable.claim import Claim
from settlement.durable.spill import Spill
from settlement.stores.base import Store
from tests.matching.places import chain


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spill"


def epoch(number: int) -> Epoch:
    return Epoch(number, 1, 0, "one", "a", "b", "c", 1)


def test_a_claim_lasts_until_a_newer_epoch_has_begun(folder: Path) -> None:
    claim = Claim(folder)
    assert not claim.is_made
    claim.make(3)
    for known in (0, 3):
        claim.remove_older(known)
        assert Claim(folder).is_made
    claim.remove_older(4)
    assert not claim.is_made
    claim.withdraw()  # safe without one


def test_a_spill_is_claimed_only_while_it_holds_blocks(folder: Path) -> None:
    spill = Spill(folder, 1 << 20)
    Claim(folder).make(0)
    assert not spill.is_claimed
    spill.append(chain(Engine(), 3))
    assert spill.is_claimed
    spill.end_claim(epoch(1))
    assert not spill.is_claimed


def test_an_engine_claims_before_it_reads_and_withdraws_when_it_does_not_lead(store: Store, folder: Path) -> None:
    claim = Claim(folder, "one")
    seen = []

    def spilled() -> Iterator[Block]:
        seen.append(claim.is_made)
        return iter(())

    history = StoreHistory(store, spilled, claim)
    history.epochs()
    assert list(history.blocks(1)) == []
    assert seen == [True]
    Claim(folder, "two").make(0)
    history.withdraw()
    assert Claim(folder).is_made, "another engine's stays"
    Claim(folder).remove_older(1)
    assert not claim.is_made


def test_a_folder_that_cannot_be_written_is_one_sentence(store: Store, tmp_path: Path) -> None:
    (tmp_path / "spill").write_text("no folder", encoding="ascii")
    history = StoreHistory(store, lambda: iter(()), Claim(tmp_path / "spill"))
    with pytest.raises(HistoryUnavailable, match="spill cannot be claimed"):
        history.epochs()
