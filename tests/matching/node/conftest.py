import pytest

from tests.matching.small_exchange import defined_engine
from tests.matching.stages import Stage


@pytest.fixture
def stage() -> Stage:
    """A follower and its leader at block 3 in epoch 1, before the first heartbeat."""
    return Stage(defined_engine(), defined_engine())
