"""Every URL of the site, and invalid parameters for it: every answer has to be a page or a sentence."""

import random
import re
from collections.abc import Iterator
from urllib.parse import quote, quote_from_bytes

from django.urls import URLPattern, URLResolver, get_resolver

NUMBERS = ["-1", "0", "999", "1.5", "1_000", "1e999", "NaN", "²", "٣", "9" * 19, "9" * 20, "9" * 5000]
NUMBERS += [str(2**31), str(2**63 - 1), str(2**63), str(-(2**63) - 1)]
DATES = ["0000-00-00", "99999-01-01", "2026-13-45", "0001-01-01", "9999-12-31", "9999-12-31T23:59:59+00:00"]
TEXTS = [
    "",
    "nope",
    "True",
    "[",
    "{}",
    "1,2,3",
    "a," * 400,
    "a " * 1500,
    "x" * 3000,
    "'\"<>;--",
    "../..",
    "%s%d{0}",
    "🙂",
]
BYTES = [b"\0", b"a\0b", b"\xff\xfe", b"\xc3\x28", b"\xed\xa0\x80", b"a\r\nb", b"%00"]
VALUES = [*(quote(text, safe="") for text in NUMBERS + DATES + TEXTS), *map(quote_from_bytes, BYTES)]
"""URL-encoded."""

OFFICE_NAMES = ["before", "after", "symbol", "day", "account", "number", "first", "last", "id", "only", "asset", "q"]
OFFICE_NAMES += ["figure", "from", "to", "by", "format"]
ADMIN_NAMES = ["q", "p", "o", "e", "all", "_popup", "_to_field", "_facets", "_changelist_filters", "next", "initial"]
SEARCH_NAMES = ["s", "page", "extended", "term", "app_label", "model_name", "field_name"]
LOOKUPS = [
    f"{field}{lookup}"
    for field, lookups in {
        "id": ("", "__exact", "__in", "__gte", "__range", "__isnull", "__nope", "__regex"),
        "pk": ("", "__in"),
        "username": ("", "__in", "__iregex", "__contains", "__gte", "__length"),
        "name": ("", "__startswith"),
        "password": ("", "__startswith"),
        "last_login": ("", "__gte", "__range", "__year", "__year__gte", "__month", "__date", "__time", "__hour"),
        "date_joined": ("", "__lt", "__in", "__year", "__day", "__week", "__iso_year", "__date__gte"),
        "is_staff": ("", "__exact", "__isnull"),
        "groups": ("", "__id__exact", "__isnull", "__name", "__nope__nope"),
        "user_permissions": ("", "__codename", "__content_type__id"),
        "logentry": ("", "__action_time__year"),
    }.items()
    for lookup in lookups
]
NAMES = [*OFFICE_NAMES, *ADMIN_NAMES, *SEARCH_NAMES, *LOOKUPS]

WHOLE_QUERIES = [
    "&&==&",
    "%FF%FE=%FF",
    "%00=1",
    "a=1&" * 1001,
    "x=" + "y" * 4000,
    "x=" + "y" * 9000,
    "e=1",
    "o=1.-2.999",
]

STATIC = [f"/static/{name}" for name in ("", "%00", "a%00b.css", "%FF", "../settings.py", "x" * 3000, "nope.css")]
"""Answered by a middleware, so not among the URL patterns."""

_NUMBERS_IN_PATHS = ["1", "0", str(2**63 - 1), str(2**63), "9" * 5000]
_TEXTS_IN_PATHS = ["1", "2", "-1", "9" * 20, "a%00b", "%FF%FE", "_2F", "..", "x" * 3000, "1%0A", "_00", "%F0%9F%98%80"]


def addresses() -> list[str]:
    """Every URL of the site, with invalid values in its variable parts."""
    return sorted({address for route in _routes(get_resolver()) for address in _filled(f"/{route}")}) + STATIC


def usual_addresses() -> list[str]:
    """Every URL of the site with one valid value, for tests of query parameters."""
    return sorted({next(_filled(f"/{route}")) for route in _routes(get_resolver())})


def _routes(resolver: URLResolver, prefix: str = "") -> Iterator[str]:
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _routes(pattern, route)
        else:
            assert isinstance(pattern, URLPattern)
            yield route


def _filled(route: str) -> Iterator[str]:
    """URLs of a route: `<int:number>` and `(?P<name>…)` are replaced by values."""
    variable = re.search(r"<(?:(\w+):)?\w+>", route)
    if grouped := re.search(r"\^?\(\?P<\w+>(.*?)\)(/?)\$", route):
        values = _TEXTS_IN_PATHS if grouped[1] == ".*" else [grouped[1]]
        yield from (route[: grouped.start()] + value + grouped[2] for value in values)
    elif variable:
        for value in _NUMBERS_IN_PATHS if variable[1] == "int" else _TEXTS_IN_PATHS:
            yield from _filled(route[: variable.start()] + value + route[variable.end() :])
    else:
        yield route


def queries(address: str, count: int, seed: int) -> list[str]:
    """`count` random queries with one parameter, `count` with two, and WHOLE_QUERIES."""
    chosen = random.Random(f"{seed} {address}")

    def pair() -> str:
        return f"{chosen.choice(NAMES)}={chosen.choice(VALUES)}"

    return [*(pair() for _ in range(count)), *(f"{pair()}&{pair()}" for _ in range(count)), *WHOLE_QUERIES]


def list_queries(address: str, seed: int) -> list[str]:
    """Every filter and search parameter once, and every invalid value once, in random pairs."""
    chosen = random.Random(f"{seed} {address}")
    names = [*ADMIN_NAMES, *LOOKUPS]
    return [f"{name}={chosen.choice(VALUES)}" for name in names] + [f"{chosen.choice(names)}={one}" for one in VALUES]
