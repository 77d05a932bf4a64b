"""Keys of the run: made on the first engine's machine, and copied to that of the second, as docs/keys.md says."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from matching.commandline.own_keys import key_folder
from matching.storage.key_files import KeyFolder
from scripts.torture.processes import Failed, manage

_ROLES = ("engine", "local")
"""Of the keys that the second machine needs: for its engine, and for the commands there."""


async def give_keys(environment: Mapping[str, str], other: Path) -> None:
    """Makes keys with `environment`, and copies them to the DATA_DIR `other`. Raises Failed."""
    name = other.name
    for role in _ROLES:
        made = await manage(environment, "make_keys", role, name)
        if made.code:
            raise Failed(f"make_keys ended with {made.code}: {made.errors}")
    own = key_folder(Path(environment["DATA_DIR"]))
    await asyncio.to_thread(_copy, own, key_folder(other), ["root.pub", *(f"{role}-{name}.key" for role in _ROLES)])


def _copy(source: KeyFolder, target: KeyFolder, names: list[str]) -> None:
    target.folder.mkdir(mode=0o700)
    for name in names:
        copied = target.folder / name
        copied.touch(mode=0o600)
        copied.write_bytes((source.folder / name).read_bytes())
