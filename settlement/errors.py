"""What can stop settlement, named for what to do next. Every text is one sentence for a person.

    SettlementError
    ├── Incident                what was received or is stored is not in order: stop, look, keep everything
    │   ├── GapUnfilled         blocks are missing and nobody has them: recover them from another replica or archive
    │   ├── ChainBroken         a block does not give its hash or does not continue the chain: mend its source
    │   ├── ChainConflict       the engine tells another story than the store: one of the two is the wrong one
    │   ├── StoreDamaged        rows of the store contradict its blocks: verify_settlement, then rebuild_projections
    │   │   └── StoreReplaced   it is an older copy of the store, or another one: give settlement the one that it had
    │   ├── SpillDamaged        blocks in the spill are not what was written: keep the files, look at the disk
    │   └── SpillOverruled      an engine went on without blocks that were in the spill: they are set aside, start again
    └── CannotRun               nothing is wrong with the data: mend the set-up and start again
        ├── AlreadyRunning      another process settles into this DATA_DIR: stop it first
        ├── NotBuiltIn          a setting asks for what this program does not have
        ├── NotReady            settlement has not got as far as what was asked needs: start it, or wait
        ├── SpillUnusable       the spill cannot be read or cleared: mend the disk
        └── TrailUnusable       the CSV trail cannot be read or written: look at the file

Beside them stand `settlement.stores.base.StoreError` (the database's) and `matching.core.errors.MatchingError` (the
engine's). Commands translate them all: `settlement.commandline`.
"""


class SettlementError(Exception):
    """Base of what this package raises; its text is one sentence for a person."""


class Incident(SettlementError):
    pass


class GapUnfilled(Incident):
    pass


class ChainBroken(Incident):
    pass


class ChainConflict(Incident):
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


class AlreadyRunning(CannotRun):
    pass


class NotBuiltIn(CannotRun):
    pass


class NotReady(CannotRun):
    pass


class SpillUnusable(CannotRun):
    pass


class TrailUnusable(CannotRun):
    pass
