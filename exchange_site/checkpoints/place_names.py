"""The forms that the places in CHECKPOINT_PLACES may have."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from settlement.audit.bucket_name import SCHEME, BucketName, BucketNameInvalid, bucket_name

_CHARACTERS = re.compile("[!-~]+")
_LOCAL_SYSLOG = "/dev/log"
_SYSLOG_PORT = 514


class PlaceInvalid(Exception):
    """CHECKPOINT_PLACES names something that cannot be a place; the text is one sentence."""


class SyslogAddress(NamedTuple):
    address: str | tuple[str, int]
    """A socket file, or host and UDP port."""


PlaceName = Path | SplitResult | SyslogAddress | BucketName
"""A folder, the URL of a webhook, a syslog, or a place in a bucket."""


def place_names(texts: Iterable[str]) -> list[PlaceName]:
    """Raises PlaceInvalid. Its text has the place's number only: a URL may contain a password."""
    return [_place_name(text, number) for number, text in enumerate(texts, 1)]


def _place_name(text: str, number: int) -> PlaceName:
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise PlaceInvalid(f"Place {number} is not a valid URL.") from error
    if url.scheme in ("http", "https") and url.hostname:
        if url.username is not None or not _CHARACTERS.fullmatch(text):
            raise PlaceInvalid(f"Place {number} has a user name, or a character that a URL must encode.")
        return url
    if url.scheme == SCHEME:
        try:
            return bucket_name(text)
        except BucketNameInvalid as error:
            raise PlaceInvalid(f"Place {number} {error}.") from error
    if text == "syslog":
        return SyslogAddress(_LOCAL_SYSLOG)
    if url.scheme == "syslog" and url.hostname:
        return SyslogAddress((url.hostname, port or _SYSLOG_PORT))
    if not url.scheme and Path(text).is_absolute():
        return Path(text)
    raise PlaceInvalid(f"Place {number} is neither an absolute folder nor a URL with https, http, s3 or syslog.")
