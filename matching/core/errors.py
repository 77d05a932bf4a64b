"""What can go wrong around the engine, named for what to do next.

MatchingError
├── BadBlock            bytes that are no block of ours: stop, keep the bytes, look at their source
│   └── HashMismatch    a block whose bytes do not give its hash, or that does not continue its chain
├── BadMessage          a frame that is no message of ours: refuse it, count it, go on
├── BadDefinition       an asset or instrument that cannot exist: mend the definition
├── BadFile             a file that cannot be read as what it should be: name another
├── Diverged            two engines gave different bytes for one block: stop both, find out why
├── LogUnusable         a log of blocks cannot be read or written: mend the disk
│   ├── FolderInUse     another engine has its files in this folder: stop that one, or name another folder
│   ├── LogDamaged      bytes in the middle of it are not what was written: keep the files, look at the disk
│   └── LogFull         there is no room for more: make room, and what waits is written
├── LogNotReady         a log of commands is not there, or not set up as it has to be: mend the set-up
├── EngineUnreachable   nobody answers at that address: start the engine or mend the address
│   └── NoAnswer        the engine was there but did not answer in time: ask again with the same request
└── EngineRefused       the engine answered that it will not (`code` says why)
"""


class MatchingError(Exception):
    """Base of what this package raises; its text is one sentence for a person."""


class BadBlock(MatchingError):
    pass


class HashMismatch(BadBlock):
    pass


class BadMessage(MatchingError):
    pass


class BadDefinition(MatchingError):
    pass


class BadFile(MatchingError):
    pass


class Diverged(MatchingError):
    pass


class LogUnusable(MatchingError):
    pass


class FolderInUse(LogUnusable):
    pass


class LogDamaged(LogUnusable):
    pass


class LogFull(LogUnusable):
    pass


class LogNotReady(MatchingError):
    pass


class EngineUnreachable(MatchingError):
    pass


class NoAnswer(EngineUnreachable):
    pass


class EngineRefused(MatchingError):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
