"""Compares the stored chain with signed checkpoints: the store's own, and anchors, which are kept outside it.

Whoever can write to the store can replace all blocks by others that fit together, and delete checkpoints. He cannot
sign other checkpoints, nor change those that are kept where he has no access.
"""

from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from matching.core.chain_digest import BEFORE_FIRST_BLOCK, ChainPoint
from matching.core.errors import HashMismatch
from matching.core.hashes import hash_text
from matching.transport.key_register import KeyRegister
from matching.transport.signed_checkpoints import BadCheckpoint, SignedCheckpoint, read_signed
from settlement.audit.bucket_name import SCHEME, BucketNameInvalid, bucket_name
from settlement.audit.http_request import HttpFailed, send_request
from settlement.errors import CannotRun
from settlement.stores.base import Store

_MAX_BYTES = 256 << 20
"""Size limit of an anchor: half a million checkpoints."""
_TIMEOUT_S = 30.0


class AnchorUnusable(CannotRun):
    """An anchor cannot be read, or proves nothing: give another file."""


class Anchor(NamedTuple):
    """A checkpoint whose signature is valid, and where it was found."""

    checkpoint: SignedCheckpoint
    place: str


class Comparison(NamedTuple):
    compared: int
    last_block: int
    """The last block whose checkpoint is the same as in the stored chain."""
    difference: str | None
    """The first difference as a sentence."""

    def form(self) -> dict[str, Any]:
        """The field `checkpoints` of `manage.py verify_settlement --json`."""
        return self._asdict()


def audit(
    store: Store,
    register: KeyRegister,
    sources: Iterable[str],
    to_block: int | None,
    progress: Callable[[int, int], object] = lambda block, last: None,
) -> Comparison:
    """Compares the stored chain with the anchors in `sources` and with the store's own checkpoints, up to `to_block`.

    Raises AnchorUnusable, StoreError.
    """
    # Anchors are read before the end of the store. A checkpoint is signed after its block is stored, so no valid anchor
    # is of a block after that end, even while blocks are added.
    given = [anchor for source in sources for anchor in read_anchor(source, register)]
    last = store.appended().block_number
    own, invalid = stored_anchors(store, last, register)
    wanted = [one for one in (*given, *own) if to_block is None or one.checkpoint.point.block_number <= to_block]
    found = compare(store, wanted, last, progress)
    return found if found.difference else found._replace(difference=invalid)


def read_anchor(source: str, register: KeyRegister) -> list[Anchor]:
    """The checkpoints in a file or at an http(s) URL, one a line, or in a bucket. Raises AnchorUnusable."""
    anchors = []
    for place, document in _in_bucket(source) if source.startswith(f"{SCHEME}://") else _lines(source):
        try:
            anchors.append(Anchor(read_signed(document, register), place))
        except BadCheckpoint as error:
            raise AnchorUnusable(f"{place}: {error}") from error
    if not anchors:
        raise AnchorUnusable(f"{source} has no checkpoint: name another place.")
    return anchors


def stored_anchors(store: Store, last: int, register: KeyRegister) -> tuple[list[Anchor], str | None]:
    """The store's own checkpoints up to block `last`, and a sentence about one that no registered key has signed."""
    anchors, invalid = [], None
    for row in store.signed_checkpoints(last):
        place = f"The store, block {row.block_number}"
        try:
            anchors.append(Anchor(read_signed(row.document, register), place))
        except BadCheckpoint as error:
            invalid = f"{place}: {error} Somebody has written it to the database."
    return anchors, invalid


def compare(
    store: Store,
    anchors: Iterable[Anchor],
    last: int,
    progress: Callable[[int, int], object] = lambda block, last: None,
) -> Comparison:
    """Computes the digest of the stored blocks and compares it with each anchor, in order, up to the first difference.

    `last` is the store's last block. Raises StoreError.
    """
    point, compared = BEFORE_FIRST_BLOCK, 0
    ordered = sorted(anchors, key=attrgetter("checkpoint.point.block_number"))
    chain = _points(store, min(last, ordered[-1].checkpoint.point.block_number) if ordered else 0)
    matched = 0
    for anchor in ordered:
        signed = anchor.checkpoint.point
        if signed.block_number > last:
            text = f"the store ends with block {last}: later blocks were removed."
            return Comparison(compared, matched, f"{_signed(anchor)}, but {text}")
        try:
            while point.block_number < signed.block_number:
                point = next(chain)
                progress(point.block_number, last)
        except (HashMismatch, StopIteration) as error:
            reason = str(error) or f"Block {point.block_number + 1} is missing."
            return Comparison(compared, matched, f"{_signed(anchor)}, but the chain is broken before it. {reason}")
        if point != signed:
            return Comparison(compared, matched, _difference(anchor, point, matched))
        compared, matched = compared + 1, point.block_number
    return Comparison(compared, matched, None)


def _points(store: Store, last: int) -> Iterator[ChainPoint]:
    point = BEFORE_FIRST_BLOCK
    for block in store.blocks(1, last):
        point = point.after(block)
        yield point


def _signed(anchor: Anchor) -> str:
    checkpoint = anchor.checkpoint
    return (
        f"{anchor.place}: {checkpoint.role} {checkpoint.name} signed block {checkpoint.point.block_number} at "
        f"{checkpoint.time}"
    )


def _difference(anchor: Anchor, found: ChainPoint, matched: int) -> str:
    signed = anchor.checkpoint.point
    what = (
        f"with hash {hash_text(signed.state_hash)}, and the stored block has hash {hash_text(found.state_hash)}"
        if signed.state_hash != found.state_hash
        else f"with digest {signed.digest.hex()}, and the stored blocks give {found.digest.hex()}"
    )
    changed = f"a block from {matched + 1} to {signed.block_number} was changed after it was signed"
    return f"{_signed(anchor)} {what}: {changed}."


def _lines(source: str) -> Iterator[tuple[str, bytes]]:
    """(place, line) of each line that is not empty."""
    data = _fetched(source) if source.startswith(("http://", "https://")) else _file_content(source)
    if len(data) > _MAX_BYTES:
        raise AnchorUnusable(f"{source} has more than {_MAX_BYTES >> 20} MiB: give its newest lines in another file.")
    for number, line in enumerate(data.splitlines(), 1):
        if line:
            yield f"{source}, line {number}", line


def _in_bucket(source: str) -> Iterator[tuple[str, bytes]]:
    """(URL, content) of each object, in all versions: what somebody has replaced or deleted counts too."""
    from settlement.audit.bucket import Bucket, BucketFailed  # here, because few processes need the AWS client

    try:
        name = bucket_name(source)
        bucket = Bucket(name)
        versions = bucket.versions()
        if sum(version.size for version in versions) > _MAX_BYTES:
            raise AnchorUnusable(f"{source} has more than {_MAX_BYTES >> 20} MiB: give a longer prefix.")
        yield from bucket.read_all(versions)
    except BucketNameInvalid as error:
        raise AnchorUnusable(f"{source} {error}.") from error
    except (BucketFailed, ValueError) as error:
        raise AnchorUnusable(f"{source} cannot be read: {error}.") from error


def _file_content(source: str) -> bytes:
    try:
        with Path(source).open("rb") as file:
            return file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise AnchorUnusable(f"{source} cannot be read: {error.strerror}.") from error


def _fetched(source: str) -> bytes:
    try:
        answer = send_request(urlsplit(source), _TIMEOUT_S, max_bytes=_MAX_BYTES + 1)
    except (HttpFailed, ValueError) as error:
        raise AnchorUnusable(f"{source} cannot be read: {error}.") from error
    if answer.status != HTTPStatus.OK:
        raise AnchorUnusable(f"{source} cannot be read: the server answered with status {answer.status}.")
    return answer.body
