"""The command `quarantine_block`: takes blocks out of the chain that no engine of this exchange made, and keeps them.

They may have come from an engine with a stolen key: each is what its commands give, but the commands are not those that
the true engine has answered. If the true engine's log holds other blocks with the same numbers, these take their place;
otherwise the chain ends before the first one. A new epoch begins after that and overrules what was taken out.

    DATA_DIR/quarantine/unfinished-N/    until the command is done, then block-N-HASH
        blocks/*.blocks    block N and all after it, as the store had them
        trail/             their lines of the CSV trail
        signed_checkpoints.jsonl    the store's signed checkpoints of them
        spill/, wal/, snapshots/, settlement-snapshots/    files with such blocks, or with states after them
        record.json        what was found at first; written after blocks/, so that a killed command is continued
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.core.epochs import Epoch, newest
from matching.core.errors import BadFile
from matching.core.hashes import hash_text
from matching.storage.disk import LocalDisk
from matching.storage.segments import Segments
from matching.storage.snapshot_files import SnapshotFolder
from settlement.errors import NotReady, QuarantineUnusable
from settlement.maintenance import filling, kept_blocks
from settlement.maintenance.filling import Progress
from settlement.maintenance.kept_blocks import NO_BLOCK, Link, Source, continuation, look_at
from settlement.maintenance.restoring import Place, project_rest
from settlement.project import rebuilding, trail_cut
from settlement.receive.chain import stored
from settlement.stores.base import Store, StoredBlock

_UNFINISHED = "unfinished-"
_SNAPSHOTS = ("snapshots", "settlement-snapshots")
_BATCH_BLOCKS = 64
_BATCH_BYTES = 8 << 20


class Plan(NamedTuple):
    """What a quarantine takes out and what remains."""

    first: int
    last: int  # of the blocks that are taken out
    hash: int  # of block `first`, as the store has it
    end: int  # the last block of the chain afterwards; its blocks from `first` on come from the logs
    epoch: Epoch  # begins after `end`
    is_replaced: bool = False  # an earlier call, which was killed afterwards, has replaced the blocks in the store


class Done(NamedTuple):
    plan: Plan
    folder: Path
    set_aside: list[str]  # folders of DATA_DIR from which files were moved
    projected: int


def unfinished(data_dir: Path) -> list[int]:
    """First blocks of quarantines that were killed."""
    found = (path.name.removeprefix(_UNFINISHED) for path in (data_dir / "quarantine").glob(f"{_UNFINISHED}*"))
    return sorted(int(number) for number in found if number.isdigit())


def plan(place: Place, first: int) -> Plan:
    """What `quarantine` would do; changes nothing. Raises NotReady, StoreDamaged, QuarantineUnusable, LogUnusable."""
    for number in unfinished(place.data_dir):
        if number != first:
            raise NotReady(f"A quarantine of block {number} was not finished: run quarantine_block {number} first.")
    if _record_path(place, first).exists():
        return _read_record(place, first)
    store = place.store
    head = filling.head_of(store)
    if not 1 <= first <= head.number:
        raise NotReady(f"The store has blocks 1 to {head.number}: there is no block {first} to take out.")
    for earlier in (place.data_dir / "quarantine").glob(f"block-{first}-*"):
        raise NotReady(
            f"Block {first} was taken out already and is in {earlier}; the store has other blocks now. If these are "
            "wrong as well, rename that folder first."
        )
    hashes = [row.hash for row in store.blocks(first, head.number)]
    chain = _replacing(place, _before(store, first), set(hashes))
    end = chain[-1] if chain else _before(store, first)
    known = newest(store.epochs())
    number = known.number + 1 if known else 1
    epoch = place.leader._replace(number=number, first_block=end.number + 1, prev_hash=end.hash)
    return Plan(first, head.number, hashes[0], end.number, epoch)


def quarantine(
    place: Place, wanted: Plan, stop: Callable[[], bool], progress: Progress = lambda done, last: None
) -> Done:
    """Does what `plan` says. The engine and settlement must not run. Can be repeated after it was killed.

    Raises ChainConflict if a block of the logs is not what its commands give; then nothing was changed.
    QuarantineUnusable, TrailUnusable, StoreDamaged, StoreError, Stopped.
    """
    folder = _record_path(place, wanted.first).parent
    try:
        if not wanted.is_replaced:
            _replace(place, wanted, folder, progress)
        moved = _set_aside(place, wanted, folder)
        kept = folder.with_name(f"block-{wanted.first}-{hash_text(wanted.hash)}")
        folder.rename(kept)
        LocalDisk().sync_folder(kept.parent)
    except OSError as error:
        raise QuarantineUnusable(f"{error.filename or folder} cannot be written: {error.strerror}.") from error
    return Done(wanted, kept, moved, project_rest(place, stop, progress))


def _replace(place: Place, wanted: Plan, folder: Path, progress: Progress) -> None:
    """Copies the blocks to `folder`, drops their rows, cuts their lines out of the trail, replaces them in the store.

    In this order it can be repeated after it was killed.
    """
    store, sources = place.store, kept_blocks.sources(place.data_dir)
    before = _before(store, wanted.first)
    if not (folder / "record.json").exists():
        _keep_blocks(folder, store.blocks(wanted.first, wanted.last))
        _keep_checkpoints(folder, store, wanted)
        _write_record(folder, wanted)
    chain = _replacing(place, before, {block.hash for block in _segments(folder).peek()})
    if (chain[-1].number if chain else before.number) != wanted.end:
        raise QuarantineUnusable(f"Spill or write-ahead log have changed since {folder} was begun: put them back.")
    engine = Engine()
    filling.execute_stored(store, before, engine, lambda number: progress(number, wanted.end))
    for block in filling.blocks_in(chain, sources):
        filling.check(block, engine)
        progress(block.number, wanted.end)
    rebuilding.drop_rows(store, place.letters, wanted.first, progress)
    place.trail().close()  # removes a torn last line
    trail_cut.cut(place.data_dir, before.last_event + 1, folder / "trail")
    batches = _batches(filling.blocks_in(chain, sources))
    store.replace_blocks(wanted.first, ([stored(block) for block in batch] for batch in batches), wanted.epoch)
    store.drop_signed_checkpoints(wanted.first, wanted.last)
    _write_record(folder, wanted._replace(is_replaced=True))


def _before(store: Store, first: int) -> Link:
    row = store.get_block(first - 1) if first > 1 else None
    return Link(row.number, row.hash, row.prev_hash, row.epoch, row.last_event_sequence) if row else NO_BLOCK


def _replacing(place: Place, before: Link, wrong: set[int]) -> list[Link]:
    """The blocks of spill and log that continue block `before`, without the wrong ones."""
    logs = [look_at(source) for source in kept_blocks.sources(place.data_dir)]
    right = [log._replace(links=[link for link in log.links if link.hash not in wrong]) for log in logs]
    return continuation(before, right, place.store.epochs())


# Files


def _set_aside(place: Place, wanted: Plan, folder: Path) -> list[str]:
    """Moves spill, log and snapshots that hold more than the chain has now."""
    kept = {row.number: row.hash for row in place.store.blocks(wanted.first, wanted.end)}

    def is_other(number: int, digest: int) -> bool:
        return number >= wanted.first and kept.get(number) != digest

    for source in kept_blocks.sources(place.data_dir):
        if any(is_other(link.number, link.hash) for link in look_at(source).links):
            _move(_files_of(source), folder / source.folder.name)
    for name in _SNAPSHOTS:
        snapshots = SnapshotFolder(LocalDisk(), place.data_dir / name, keep=1)
        for number in snapshots.numbers():
            try:
                is_wrong = is_other(number, snapshots.state_hash(number))
            except BadFile:
                continue  # never used
            if is_wrong:
                _move([snapshots.path_of(number)], folder / name)
    return [name for name in ("spill", "wal", *_SNAPSHOTS) if (folder / name).exists()]


def _files_of(source: Source) -> list[Path]:
    return [file.path for file in source.examine()]


def _move(files: Iterable[Path], to: Path) -> None:
    to.mkdir(mode=0o700, exist_ok=True)
    for path in files:
        shutil.move(path, to / path.name)  # the log may be on a disk of its own


def _keep_blocks(folder: Path, rows: Iterable[StoredBlock]) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier call that was killed before it changed anything
    segments = _segments(folder)
    for batch in _batches(Block.decode(row.data) for row in rows):
        segments.append(batch)
    segments.close()


def _keep_checkpoints(folder: Path, store: Store, wanted: Plan) -> None:
    """The store's signed checkpoints of these blocks, in the form of an anchor: one line each."""
    newest_first = store.signed_checkpoints(wanted.last)
    kept = [row.document for row in takewhile(lambda row: row.block_number >= wanted.first, newest_first)]
    LocalDisk().write_whole(folder / "signed_checkpoints.jsonl", b"".join(b"%b\n" % one for one in reversed(kept)))


def _segments(folder: Path) -> Segments:
    return Segments(LocalDisk(), folder / "blocks", ".blocks", "These blocks are kept only to be examined.")


def _batches(blocks: Iterable[Block]) -> Iterator[Sequence[Block]]:
    batch: list[Block] = []
    size = 0
    for block in blocks:
        batch.append(block)
        size += len(block.data)
        if len(batch) == _BATCH_BLOCKS or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _record_path(place: Place, first: int) -> Path:
    return place.data_dir / "quarantine" / f"{_UNFINISHED}{first}" / "record.json"


def _write_record(folder: Path, wanted: Plan) -> None:
    form = {**wanted._asdict(), "epoch": wanted.epoch._asdict()}
    LocalDisk().write_whole(folder / "record.json", f"{json.dumps(form, indent=1)}\n".encode())


def _read_record(place: Place, first: int) -> Plan:
    path = _record_path(place, first)
    try:
        form: dict[str, Any] = json.loads(path.read_bytes())
        return Plan(**{**form, "epoch": Epoch(**form["epoch"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise QuarantineUnusable(f"{path} cannot be read, so the quarantine cannot be continued: {error}") from error
