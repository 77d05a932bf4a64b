"""The errors of analytics. The message is a sentence for users.

CannotRun (settlement.errors)
├── QueryRefused      the query is not allowed or not valid: correct it
├── QueryTooLarge     it needs more time, memory or rows than it may use: ask for fewer days
└── StarRocksError
    ├── StarRocksUnavailable   no answer, or one that may be temporary: the same call may be repeated
    └── StarRocksRefused       it answers and refuses: correct the settings, the permissions or the tables
"""

from settlement.errors import CannotRun


class QueryRefused(CannotRun):
    pass


class QueryTooLarge(CannotRun):
    pass


class StarRocksError(CannotRun):
    pass


class StarRocksUnavailable(StarRocksError):
    pass


class StarRocksRefused(StarRocksError):
    pass
