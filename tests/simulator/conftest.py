from collections.abc import Iterator

import pytest
from pytest_django import DjangoDbBlocker


@pytest.fixture(autouse=True)
def _database_of_its_own(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The simulator makes its database in memory, beside those that tests are given."""
    with django_db_blocker.unblock():
        yield
