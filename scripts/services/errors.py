"""Errors of servers and their programs."""


class ServiceError(Exception):
    """The text is one sentence: the problem and what to do."""
