"""The errors of settlement, one class for each reaction. Every message is a sentence for users.

    SettlementError
    ├── Incident                received or stored data is wrong: stop, keep everything, find the cause
    │   ├── GapUnfilled         blocks are missing and no engine has them: recover them from a replica or an archive
    │   ├── ChainBroken         a block has a wrong hash or does not continue the chain: correct its source
    │   ├── ChainConflict       the engine's chain differs from the store's: find out which one is wrong
    │   ├── EventsDiffer        a block is not what its commands give: find out who made it
    │   ├── StoreDamaged        rows of the store contradict its blocks: verify_settlement, then rebuild_projections
    │   │   └── StoreReplaced   the store is an older copy or another one: restore the one that settlement used
    │   ├── SpillDamaged        blocks in the spill are damaged: keep the files, check the disk
    │   └── SpillOverruled      an epoch began without blocks that were in the spill; they are set aside: restart
    └── CannotRun               the data is correct: correct the set-up and restart
        ├── EarlierLayout       the blocks have an earlier record layout: run migrate_layout
        ├── AlreadyRunning      another process uses this DATA_DIR or store: stop it first
        ├── NotBuiltIn          a setting requires something that this program does not have
        ├── NotReady            settlement has not processed enough blocks: start it, or wait
        ├── BackupUnusable      a backup is incomplete, damaged or of another version: take another one
        ├── StoreNotEmpty       the store has other blocks or epochs than the backup: restore into an empty one
        ├── QuarantineUnusable  the folder of a quarantine cannot be read or written: repair the disk
        ├── SpillUnusable       the spill cannot be read or cleared: repair the disk
        ├── TrailUnusable       the CSV trail cannot be read or written: check the file
        └── WrongStore          the engine uses another store than settlement: correct the settings of one of them

The errors of the database are `settlement.stores.base.StoreError`, of the engine `matching.core.errors.MatchingError`.
`settlement.commandline` translates all of them for commands.
"""


class SettlementError(Exception):
    """Base class of this package's errors; the message is a sentence for users."""


class Incident(SettlementError):
    pass


class GapUnfilled(Incident):
    pass


class ChainBroken(Incident):
    pass


class ChainConflict(Incident):
    pass


class EventsDiffer(Incident):
    pass


class StoreDamaged(Incident):
    pass


class StoreReplaced(StoreDamaged):
    pass


class SpillDamaged(Incident):
    pass


class SpillOverruled(Incident):
    pass


class CannotRun(SettlementError):
    pass


class EarlierLayout(CannotRun):
    pass


class AlreadyRunning(CannotRun):
    pass


class NotBuiltIn(CannotRun):
    pass


class NotReady(CannotRun):
    pass


class BackupUnusable(CannotRun):
    pass


class StoreNotEmpty(CannotRun):
    pass


class QuarantineUnusable(CannotRun):
    pass


class SpillUnusable(CannotRun):
    pass


class TrailUnusable(CannotRun):
    pass


class WrongStore(CannotRun):
    pass
