"""The errors of a store, one class for each reaction of the caller.

StoreError
├── StoreUnavailable    transient: retry (no connection, time-out, locked); the write may have been done
└── StoreRejected       permanent: the same call would fail again; a projection becomes a dead letter
    ├── StoreMisconfigured   every row would be rejected: correct the server, the database or the settings
    │   └── StoreUninitialized   tables are missing: `init` creates them
    ├── Fenced               the blocks are of an epoch that has ended: read `epochs` and continue from there
    └── Outrun               the epoch cannot begin there: the store has later blocks, or another block there
"""


class StoreError(Exception):
    """Base class of a store's errors; the message is a sentence for users."""


class StoreUnavailable(StoreError):
    pass


class StoreRejected(StoreError):
    pass


class StoreMisconfigured(StoreRejected):
    pass


class StoreUninitialized(StoreMisconfigured):
    pass


class Fenced(StoreRejected):
    pass


class Outrun(StoreRejected):
    pass
