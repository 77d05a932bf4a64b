"""The errors of the archive. The message is a sentence for users.

Incident (settlement.errors)
├── ArchiveDamaged        a file, a manifest or a table is not what was archived: keep everything, restore the files
└── ArchiveDiffers        the store has other blocks than the archive: find out which of the two is wrong
CannotRun (settlement.errors)
├── ArchiveUnavailable    the place or the catalog does not answer: run the same command again later
└── ArchiveMisconfigured  it answers and refuses, or the settings are invalid: correct the settings
"""

from settlement.errors import CannotRun, Incident


class ArchiveDamaged(Incident):
    pass


class ArchiveDiffers(Incident):
    pass


class ArchiveUnavailable(CannotRun):
    pass


class ArchiveMisconfigured(CannotRun):
    pass
