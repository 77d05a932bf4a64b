"""A fragment that is made once a second for all, by one of the threads that ask for it."""

import re
import threading
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.test import Client

from back_office.pages import shared_fragment
from back_office.pages.overview import SEEN_WITH
from back_office.pages.shared_fragment import SharedFragment
from tests.back_office.conftest import words
from tests.back_office.market import Market


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def lasting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests of pages do without."""
    monkeypatch.setattr(shared_fragment, "KEPT_S", 1.0)


@pytest.fixture
def unending(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pages of all tests of a process are the same objects: this test has a fragment of its own."""
    own, get = SharedFragment(), SharedFragment.get
    monkeypatch.setattr(SharedFragment, "get", lambda _, key, make: get(own, key, make))
    monkeypatch.setattr(shared_fragment, "KEPT_S", float("inf"))


def test_it_is_made_again_after_a_second_and_for_another_key(lasting: None) -> None:
    clock = Clock()
    fragment = SharedFragment(clock)
    made: list[bytes] = []

    def make() -> bytes:
        made.append(b"%d" % len(made))
        return made[-1]

    assert [fragment.get("a", make), fragment.get("a", make), fragment.get("b", make)] == [b"0", b"0", b"1"]
    clock.now_s += 0.9
    assert fragment.get("a", make) == b"0"
    clock.now_s += 0.1
    assert fragment.get("a", make) == b"2"


def test_an_error_is_not_kept(lasting: None) -> None:
    fragment = SharedFragment(Clock())

    def fail() -> bytes:
        raise OSError("away")

    for _ in range(2):
        with pytest.raises(OSError, match="away"):
            fragment.get("a", fail)
    assert fragment.get("a", lambda: b"there") == b"there"


def test_one_of_many_threads_makes_it(lasting: None) -> None:
    fragment, makers, go_on = SharedFragment(Clock()), [0], threading.Event()
    found: list[bytes] = []

    def make() -> bytes:
        makers[0] += 1
        assert go_on.wait(60)
        return b"once"

    threads = [threading.Thread(target=lambda: found.append(fragment.get("a", make))) for _ in range(8)]
    for thread in threads:
        thread.start()
    go_on.set()
    for thread in threads:
        thread.join(60)
    assert (found, makers) == ([b"once"] * 8, [1])


def test_operators_with_other_permissions_get_other_fragments(market: Market, unending: None) -> None:
    market.run(3)
    shown = {}
    for name, codes in (("plain", []), ("trader", ["view_settledtrade"]), ("other", ["view_settledtrade"])):
        user = User.objects.create_user(name, is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=["view_engineblock", *codes]))
        client = Client()
        client.force_login(user)
        shown[name] = client.get("/admin/overview/live/?symbol=BTC-USD").content
    assert b'id="live-trades"' not in shown["plain"]
    assert b'id="live-trades"' in shown["trader"]
    assert shown["other"] == shown["trader"]


def test_each_instrument_and_each_refusal_has_its_own(operator: Client, market: Market, unending: None) -> None:
    market.run(3)
    assert "BTC-USD" in words(operator.get("/admin/overview/live/?symbol=btc-usd"))
    assert "ETH-USD" in words(operator.get("/admin/overview/live/?symbol=ETH-USD"))
    refused = operator.get("/admin/overview/live/?symbol=NOPE-USD")
    assert (refused.status_code, "There is no instrument NOPE-USD." in words(refused)) == (400, True)


def test_every_permission_of_the_fragments_templates_decides_who_shares_it() -> None:
    folder = Path(settings.BASE_DIR) / "templates" / "back_office"
    seen, waiting = set(), ["overview_live.html"]
    permissions: set[str] = set()
    while waiting:
        name = waiting.pop()
        text = (folder / name).read_text()
        permissions |= set(re.findall(r"perms\.([\w.]+)", text))
        seen.add(name)
        waiting += [one for one in re.findall(r'include "back_office/([\w.]+)"', text) if one not in seen]
        assert not re.search(r"\b(user|csrf_token|request|messages)\b", re.sub(r"{% comment.*?endcomment %}", "", text))
    assert permissions == set(SEEN_WITH)
    assert len(seen) > 5
