from collections.abc import Iterator

import pytest

from tests.gateway.running_gateway import RunningGateway, running_gateway


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    with running_gateway() as one:
        yield one
