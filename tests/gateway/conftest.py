from collections.abc import Iterator

import pytest

from tests.gateway.small_gateway import SmallGateway, small_gateway


@pytest.fixture(scope="module")
def gateway() -> Iterator[SmallGateway]:
    with small_gateway() as one:
        yield one
