"""The chain of received blocks: what it keeps for later, and whose blocks it refuses."""

from dataclasses import replace

import pytest

from settlement.errors import ChainBroken
from settlement.receive import chain as chains
from settlement.receive.chain import Chain
from tests.settlement.chains import in_epoch
from tests.settlement.receive.test_epochs import FIRST, NEW, NOTHING_YET, accepted, no_bytes
from tests.settlement.receive.test_replicas import Refusals, copy
from tests.settlement.test_worker import BLOCKS, LAST


def test_without_other_replicas_a_block_with_a_wrong_hash_is_an_incident() -> None:
    one = Chain(NOTHING_YET, [FIRST], 100)
    with pytest.raises(ChainBroken):
        one.accept([replace(BLOCKS[0], hash=BLOCKS[0].hash ^ 1, origin="the only one")], no_bytes)


def test_a_block_of_an_unknown_epoch_with_a_wrong_hash_is_refused_and_not_kept() -> None:
    refused = Refusals(2)
    one = Chain(NOTHING_YET, [FIRST], 100, refused)
    assert accepted(one, [replace(NEW[0], hash=NEW[0].hash ^ 1, origin="a")]) == []
    assert "does not have the hash in its header" in refused.reasons["a"]
    assert one.unknown_epoch == 0


def test_of_early_blocks_those_that_come_next_are_kept() -> None:
    one = Chain(NOTHING_YET, [FIRST], 2)
    assert accepted(one, BLOCKS[2:7]) == []
    assert one.newest_early == 4
    assert accepted(one, BLOCKS[:2]) == [1, 2, 3, 4]


def test_a_replica_that_continues_with_an_older_epoch_is_refused_and_another_is_followed() -> None:
    refused = Refusals(2)
    one = Chain(NOTHING_YET, (), 100, refused)
    (older,) = in_epoch(BLOCKS[1:2], 0, BLOCKS[0].hash)
    assert accepted(one, [copy(BLOCKS[0], "a"), copy(older, "a"), copy(BLOCKS[1], "b")]) == [1, 2]
    assert "epoch 0, but the chain is in epoch 1" in refused.reasons["a"]


def test_a_copy_of_a_block_that_is_long_past_is_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sender is behind. The later blocks of that sender are compared, and each contains the hash before."""
    monkeypatch.setattr(chains, "_RECENT", 3)
    refused = Refusals(2)
    one = Chain(NOTHING_YET, [FIRST], 100, refused)
    one.accept([copy(block, "ahead") for block in BLOCKS], no_bytes)
    assert one.accept([copy(BLOCKS[0], "behind")], no_bytes) == ([], True)
    assert refused.reasons == {}
    one.accept([replace(BLOCKS[-1], hash=1, origin="behind")], no_bytes)
    assert f"Block {LAST} was received again" in refused.reasons["behind"]
