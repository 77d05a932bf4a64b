from collections.abc import Iterator

import pytest
from pytest_django import DjangoDbBlocker


@pytest.fixture(autouse=True)
def _database_of_its_own(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Allows database access: the simulator creates its own in-memory database."""
    with django_db_blocker.unblock():
        yield
