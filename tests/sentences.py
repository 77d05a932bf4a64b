"""Error messages as users get them."""

from collections.abc import Callable

import pytest


def refusal(error: type[Exception], ask: Callable[[], object]) -> str:
    """The message of the error that `ask` raises; checks that it is one line that ends as a sentence."""
    with pytest.raises(error) as raised:
        ask()
    text = str(raised.value)
    assert text.endswith(".")
    assert "\n" not in text
    return text
