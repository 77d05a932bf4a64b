"""The blocks that are kept beside the store: settlement's spill and the engine's write-ahead log."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from matching.core.blocks import Block
from matching.core.epochs import Epoch, admits
from matching.storage.input_logs import wal
from matching.storage.segments import SegmentFile
from settlement.durable import spill


class Source(NamedTuple):
    """A folder with files of blocks, or an engine; `examine` changes nothing there and raises LogUnusable."""

    name: str  # in sentences
    place: str  # the folder, or the engine's address
    examine: Callable[[], Iterator[SegmentFile]]

    @property
    def folder(self) -> Path:
        return Path(self.place)


class Link(NamedTuple):
    """One block's place in the chain."""

    number: int
    hash: int
    prev_hash: int
    epoch: int
    last_event: int


NO_BLOCK = Link(0, 0, 0, 0, 0)
"""Before the first block."""


class KeptLog(NamedTuple):
    """What a source holds."""

    source: Source
    links: list[Link]  # of the readable blocks, in the order of the files
    torn_bytes: int  # of a record that was not finished
    damage: str  # why a part cannot be read, as a sentence; "": everything can be

    @property
    def first(self) -> int:
        """0 if it is empty."""
        return self.links[0].number if self.links else 0

    @property
    def last(self) -> int:
        return self.links[-1].number if self.links else 0


def sources(data_dir: Path) -> list[Source]:
    return [
        Source("spill", str(data_dir / "spill"), lambda: spill.examine(data_dir / "spill")),
        Source("write-ahead log", str(data_dir / "wal"), lambda: wal.examine(data_dir / "wal")),
    ]


def look_at(source: Source) -> KeptLog:
    """Reads every block. Raises LogUnusable."""
    links: list[Link] = []
    torn_bytes, damage = 0, ""
    for file in source.examine():
        links += map(link_of, file.blocks)
        torn_bytes += file.torn_bytes
        damage = damage or file.damage
    return KeptLog(source, links, torn_bytes, damage)


def blocks_of(source: Source) -> Iterator[Block]:
    """Every readable block. Raises LogUnusable."""
    for file in source.examine():
        yield from file.blocks


def link_of(block: Block) -> Link:
    return Link(block.number, block.hash, block.prev_hash, block.epoch, block.last_event_sequence)


def continuation(head: Link, logs: Iterable[KeptLog], epochs: Sequence[Epoch]) -> list[Link]:
    """The longest chain that continues `head` with blocks of these logs."""
    links = [link for log in logs for link in log.links]
    all_epochs = [*epochs, *implied_epochs(links)]
    following = {(link.number, link.prev_hash): link for link in links if admits(all_epochs, link.epoch, link.number)}
    chain: list[Link] = []
    while (link := following.get((head.number + 1, head.hash))) is not None:
        chain.append(link)
        head = link
    return chain


def implied_epochs(links: Iterable[Link]) -> list[Epoch]:
    """The epochs of these blocks. Each begins with its first block here; from there on it overrules older epochs.

    Their engines and addresses are not known and left empty.
    """
    first: dict[int, Link] = {}
    for link in links:
        if link.epoch not in first or link.number < first[link.epoch].number:
            first[link.epoch] = link
    return [Epoch(epoch, link.number, link.prev_hash, "", "", "", "", 0) for epoch, link in sorted(first.items())]
