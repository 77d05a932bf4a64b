"""Static files under names with a digest, which browsers may keep for ever: another content has another name.

The web collects them when it starts, so they are never those of an earlier version. A process that has not collected
them, such as a test, serves the files under their plain names, which browsers ask for again after a minute.
"""

import structlog
from django.core.management import call_command
from whitenoise.storage import CompressedManifestStaticFilesStorage

log = structlog.get_logger(__name__)


class DigestStorage(CompressedManifestStaticFilesStorage):
    manifest_strict = False

    def stored_name(self, name: str) -> str:
        """The name with its digest; the plain one if the file was not collected."""
        if self.hash_key(self.clean_name(name)) not in self.hashed_files:
            return name
        return str(super().stored_name(name))


def collect() -> None:
    """Copies all static files to STATIC_ROOT, with digests and compressed. Must run before a page is made."""
    try:
        call_command("collectstatic", interactive=False, verbosity=0)
    except OSError as error:  # such as a full disk: pages still work with the plain names
        log.warning("site.static_files_not_collected", error=str(error))
