"""The page's static files in memory, under an address with their digest, which browsers may keep for ever.

One digest covers all files, so that scripts that import each other are always of one version.
"""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "assets"

_DIGEST_CHARACTERS = 16
_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    media_type: str
    body: bytes
    compressed: bytes  # with gzip


class Assets:
    """All files that a browser may have. `digest` is that of their names and contents."""

    def __init__(self, folder: Path = FOLDER) -> None:
        """Raises OSError if they cannot be read."""
        files = sorted(file for file in folder.rglob("*") if file.suffix in _MEDIA_TYPES)
        self._by_name = {file.relative_to(folder).as_posix(): _read(file) for file in files}
        whole = hashlib.sha256()
        for name, asset in self._by_name.items():
            whole.update(b"%b %d %b" % (name.encode("utf-8"), len(asset.body), asset.body))
        self.digest = whole.hexdigest()[:_DIGEST_CHARACTERS]

    def find(self, name: str) -> Asset | None:
        """By its path below the folder."""
        return self._by_name.get(name)


def _read(file: Path) -> Asset:
    body = file.read_bytes()
    return Asset(_MEDIA_TYPES[file.suffix], body, gzip.compress(body, mtime=0))
