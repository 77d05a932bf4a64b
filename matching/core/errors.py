"""Exceptions of the matching packages. Each class stands for what the caller or operator should do next.

MatchingError
├── BadBlock            bytes that are not a valid block: stop, keep the bytes, check their source
│   └── HashMismatch    the hash does not match the bytes, or the block does not continue the chain
├── BadMessage          a frame that is not a valid message: refuse it, count it, continue
├── BadDefinition       an invalid definition of an asset or instrument: correct it
├── BadFile             a file that cannot be read in the expected format: give another one
├── Diverged            two engines produced different bytes for one block: stop both, find the cause
├── LogUnusable         a log of blocks cannot be read or written: repair the disk
│   ├── FolderInUse     another engine uses this folder: stop it, or use another folder
│   ├── LogDamaged      bytes inside the log were changed: keep the files, check the disk
│   └── LogFull         the disk is full: free space, and the waiting blocks are written
├── KeysUnusable        key files are missing, damaged, or accessible to others: do what the message says
├── LogNotReady         a log of commands is missing or wrongly configured: correct its configuration
├── EngineUnreachable   no answer at that address: start the engine or correct the address
│   └── NoAnswer        the engine did not answer in time: send the same request again
└── EngineRefused       the engine refused the request (`code` gives the reason)
"""


class MatchingError(Exception):
    """Base of all exceptions of these packages. Its text is one sentence for users."""


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


class KeysUnusable(MatchingError):
    pass


class LogNotReady(MatchingError):
    pass


class EngineUnreachable(MatchingError):
    pass


class NoAnswer(EngineUnreachable):
    def __init__(self, message: str, code: str = "") -> None:
        """`code` is that of the refusal of a batch that may have been applied before; "" if no engine refused it."""
        super().__init__(message)
        self.code = code


class EngineRefused(MatchingError):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
