"""What a store raises, named for what to do next.

StoreError
├── StoreUnavailable    transient: retry (no connection, time-out, locked); the write may or may not be done
└── StoreRejected       permanent: the same call fails again; a projection becomes a dead letter
    ├── StoreMisconfigured   no row would be taken, whatever is in it: mend the server, the database or the settings
    │   └── StoreUninitialized   the tables are not there: `init` makes them
    ├── Fenced               the blocks are of an epoch that has ended: look at `epochs` and go on from there
    └── Outrun               an epoch may not begin there: the store has gone past that block, or holds another
"""


class StoreError(Exception):
    """Base of what a store raises; its text is one sentence for a person."""


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
